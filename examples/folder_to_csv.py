"""A folder of pictures to one CSV table. People of several pictures share batches, and unreadable files are skipped.

python examples/folder_to_csv.py photos/ poses.csv
"""

import sys
from pathlib import Path

from wholebody import WholeBody, WholebodyError, formats, read_image
from wholebody.images import find_images

if len(sys.argv) != 3:
    sys.exit(f"usage: {__doc__.splitlines()[2]}")
if not Path(sys.argv[1]).exists():
    sys.exit(f"{sys.argv[1]}: no such file")
folder, table = Path(sys.argv[1]), Path(sys.argv[2])
model = WholeBody("fast")

poses = {}
files = find_images([folder])
for start in range(0, len(files), 8):
    pictures = {}
    for path in files[start : start + 8]:
        try:
            pictures[path.name] = read_image(path)
        except WholebodyError as error:
            print(error, file=sys.stderr)
    poses |= dict(zip(pictures, model.images(list(pictures.values())), strict=True))

formats.write_csv(table, poses)
print(f"{sum(map(len, poses.values()))} people in {len(poses)} pictures")
