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

The formulas stand in a file each. Different from the published code, in all of them: lengths are measured in pixels of
either picture; a limb that points at the camera in the first frame is taken to be as long as it gets later in the clip;
toes, heels, hands and face move with the limb they hang on; a factor is kept within a half and twice that of the whole
figure; a factor that cannot be measured is that of the other side or of the figure; and a missing point stays missing
and moves nothing.
"""

from wholebody.align.clip import Alignment, align, fit

__all__ = ["Alignment", "align", "fit"]
