"""Does a browser play the written videos? Headless Chromium plays one, and the frame that it shows is checked.

    python runs/video/browser.py clip_pose.mp4 [PICTURE.png]        # needs chromium

Prints the size, the length, how far it played, the mean colour of the frame shown then, and that of our own decoder at
the same time. PICTURE is a screenshot of the page. The exit status is 1 if it did not play, or if a colour differs by 6
levels or more.
"""

import argparse
import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from wholebody import video

PAGE = """<!doctype html><body style="margin:0">
<video id=v muted playsinline src="{source}" style="width:640px"></video><pre id=p></pre>
<script>
const v = document.getElementById("v"), p = document.getElementById("p");
const say = (found) => {{ p.textContent = JSON.stringify(found); }};
v.addEventListener("error", () => say({{error: v.error.message}}));
v.addEventListener("timeupdate", () => {{
  if (v.currentTime < 0.4 || p.textContent) return;
  v.pause();
  const c = document.createElement("canvas");
  [c.width, c.height] = [v.videoWidth, v.videoHeight];
  const g = c.getContext("2d");
  g.drawImage(v, 0, 0);
  const d = g.getImageData(0, 0, c.width, c.height).data, sum = [0, 0, 0];
  for (let i = 0; i < d.length; i++) if (i % 4 < 3) sum[i % 4] += d[i];
  const rgb = sum.map((s) => s / (c.width * c.height));
  say({{size: [c.width, c.height], length: v.duration, at: v.currentTime, rgb}});
}});
v.play();
</script></body>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("picture", type=Path, nargs="?")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(source=options.clip.resolve().as_uri()))
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
        flags += [f"--user-data-dir={folder}/profile", "--autoplay-policy=no-user-gesture-required"]
        flags += ["--timeout=30000", "--virtual-time-budget=30000", "--window-size=640,400"]

        def chromium(*what):
            words = ["chromium", *flags, *what, page.as_uri()]
            return subprocess.run(words, capture_output=True, text=True, check=False)

        done = chromium("--dump-dom")
        if options.picture:
            chromium(f"--screenshot={options.picture.resolve()}")
    said = re.search(r"<pre[^>]*>(.*?)</pre>", done.stdout, re.S)
    found = json.loads(html.unescape(said[1]) or "{}") if said else {}
    print("chromium:", found or f"nothing ({done.stderr.strip().splitlines()[-1:]})")
    if "rgb" not in found:
        sys.exit(1)
    frames = [frame for frame in video.read(options.clip) if frame.time <= found["at"] + 0.1]
    shown = min(frames, key=lambda frame: abs(frame.time - found["at"]))
    mean = shown.image.reshape(-1, 3).mean(axis=0)[::-1].round(1).tolist()
    print(f"ours: {shown.image.shape[1]} x {shown.image.shape[0]} at {shown.time:.2f} s, mean colour {mean}")
    same = max(abs(a - b) for a, b in zip(found["rgb"], mean, strict=True)) < 6
    sys.exit(not same)


if __name__ == "__main__":
    main()
