"""A video from one camera as Pose2Sim reads it: a folder per camera, a file per frame.

python examples/pose2sim.py cam01.mp4 project/
"""

import sys
from pathlib import Path

from wholebody import WholeBody, follow, formats, read_video
from wholebody.formats.pose2sim import pose2sim_folder

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
clip, project = Path(sys.argv[1]), Path(sys.argv[2])
folder = pose2sim_folder(project / f"{clip.stem}_pose")  # project/pose/cam01_json, where Pose2Sim looks
folder.parent.mkdir(parents=True, exist_ok=True)

frames = [(frame.time, poses) for frame, poses in follow(read_video(clip), WholeBody("fast"))]
formats.write_pose2sim(folder, frames)
print(f"{len(frames)} files in {folder}; in Config.toml: pose_model = 'COCO_133'")
