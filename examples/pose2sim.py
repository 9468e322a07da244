"""A video as a folder of OpenPose's JSON, a file for each frame: what Pose2Sim reads, one folder for each camera.

python examples/pose2sim.py cam01.mp4 pose/cam01_json
"""

import sys
from pathlib import Path

from wholebody import WholeBody, follow, formats, read_video

clip, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)

number = -1
for number, (_, poses) in enumerate(follow(read_video(clip), WholeBody("fast"))):
    formats.write_openpose(out / formats.openpose_name(clip.stem, number), poses)
print(f"{number + 1} files in {out}; the model of the skeleton is BODY_25 (in Config.toml: pose_model = 'BODY_25')")
