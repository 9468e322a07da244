"""Aligning the people of a picture or clip to a reference: a dance for a character of other proportions.

    from wholebody.align import align
    aligned = align(frames, model("character.png"), mode="muse", size=(1280, 720), reference_size=(768, 1344))

| mode   | published with   | what it changes                                                       |
|--------|------------------|-----------------------------------------------------------------------|
| linear | MimicMotion      | size and position; the dancer's proportions stay                      |
| muse   | MusePose         | every limb by the first frame, equally on the left and right          |
| uni    | UniAnimate       | width and height separately, then every limb by the first frame       |
| wan    | Wan2.2-Animate   | every limb by the first frame, feet onto the ground of the reference  |
| none   |                  | nothing                                                               |

Each method has its own file. All of them differ from the published code in these points:

- Lengths are measured in pixels of either picture.
- A limb that points at the camera in the first frame gets its length from the rest of the clip.
- Toes, heels, hands and face move with the limb that they are attached to.
- A factor is clipped to between half and twice that of the whole figure. One that cannot be measured is taken from the
  other side, or from the figure.
- A missing point stays missing and moves nothing.
"""

from wholebody.align.clip import Alignment, align, fit

__all__ = ["Alignment", "align", "fit"]
