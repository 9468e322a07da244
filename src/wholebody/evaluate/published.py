"""Published figures, quoted next to measured ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """AP / AR in per cent on COCO-WholeBody v1.0 val; top-down with detections of 56.4 person AP and a flip test."""

    name: str
    size: str
    body: str = "-"
    feet: str = "-"
    face: str = "-"
    hands: str = "-"
    whole: str = "-"


# As printed in the tables of the RTMPose and DWPose papers, ViTPose+ and newer AR as in their model zoos.
PUBLISHED = (
    Published("SN", "-", "42.7 / 58.3", "9.9 / 36.9", "64.9 / 69.7", "40.8 / 58.0", "32.7 / 45.6"),
    Published("OpenPose", "-", "56.3 / 61.2", "53.2 / 64.5", "76.5 / 84.0", "38.6 / 43.3", "44.2 / 52.3"),
    Published("PAF", "512x512", "38.1 / 52.6", "5.3 / 27.8", "65.5 / 70.1", "35.9 / 52.8", "29.5 / 40.5"),
    Published("AE", "512x512", "40.5 / 46.4", "7.7 / 16.0", "47.7 / 58.0", "34.1 / 43.5", "27.4 / 35.0"),
    Published("DeepPose", "384x288", "44.4 / 56.8", "36.8 / 53.7", "49.3 / 66.3", "23.5 / 41.0", "33.5 / 48.4"),
    Published("SimpleBaseline", "384x288", "66.6 / 74.7", "63.5 / 76.3", "73.2 / 81.2", "53.7 / 64.7", "57.3 / 67.1"),
    Published("HRNet", "384x288", "70.1 / 77.3", "58.6 / 69.2", "72.7 / 78.3", "51.6 / 60.4", "58.6 / 67.4"),
    Published("PVT", "384x288", "67.3 / 76.1", "66.0 / 79.4", "74.5 / 82.2", "54.5 / 65.4", "58.9 / 68.9"),
    Published(
        "FastPose50-dcn-si", "256x192", "70.6 / 75.6", "70.2 / 77.5", "77.5 / 82.5", "45.7 / 53.9", "59.2 / 66.5"
    ),
    Published("ZoomNet", "384x288", "74.5 / 81.0", "60.9 / 70.8", "88.0 / 92.4", "57.9 / 73.4", "63.0 / 74.2"),
    Published("ZoomNAS", "384x288", "74.0 / 80.7", "61.7 / 71.8", "88.9 / 93.0", "62.5 / 74.0", "65.4 / 74.4"),
    Published("ViTPose+-S", "256x192", whole="54.4 / -"),
    Published("ViTPose+-H", "256x192", "75.9 / -", "77.9 / -", "63.6 / -", "54.7 / -", "61.2 / -"),
    Published("RTMPose-m", "256x192", "67.3 / 75.0", "61.5 / 75.2", "81.3 / 87.1", "47.5 / 58.9", "58.2 / 67.4"),
    Published("RTMPose-l", "256x192", "69.5 / 76.9", "65.8 / 78.5", "83.3 / 88.7", "51.9 / 62.8", "61.1 / 70.0"),
    Published("RTMPose-l", "384x288", "71.2 / 78.1", "69.3 / 81.1", "88.2 / 91.9", "57.9 / 67.7", "64.8 / 73.0"),
    Published("RTMPose-x", "384x288", "71.4 / -", "69.2 / -", "88.8 / -", "59.0 / -", "65.3 / 73.3"),
    Published("DWPose-t", "256x192", "58.5 / -", "46.5 / -", "73.5 / -", "35.7 / -", "48.5 / 58.4"),
    Published("DWPose-s", "256x192", "63.3 / -", "53.3 / -", "77.6 / -", "42.7 / -", "53.8 / 63.2"),
    Published("DWPose-m", "256x192", "68.5 / -", "63.6 / -", "82.8 / -", "52.7 / -", "60.6 / 69.5"),
    Published("DWPose-l", "256x192", "70.4 / -", "66.2 / -", "84.3 / -", "56.6 / -", "63.1 / 71.7"),
    Published("DWPose-l", "384x288", "72.2 / 78.9", "70.4 / 81.7", "88.7 / 92.1", "62.1 / 71.0", "66.5 / 74.3"),
)
