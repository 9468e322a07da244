#!/bin/sh
# The campaign of docs/reliability.md: an hour or more, in the background, until there are a million inputs.
#
#   runs/reliability/readers.sh [FOLDER]     figures.json, log.txt, and the inputs that failed, in FOLDER
cd "$(dirname "$0")/../.." || exit 1
folder=${1:-out/readers}
mkdir -p "$folder"
OMP_NUM_THREADS=1 setsid nice -n 19 "${PYTHON:-python}" tests/readers.py --seconds 3600 --least 1000000 \
  --keep "$folder/inputs" --out "$folder/figures.json" > "$folder/log.txt" 2>&1 < /dev/null &
echo "started; the table is at the end of $folder/log.txt"
