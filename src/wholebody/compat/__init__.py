"""Drop-in interfaces of other packages: change the import, and a pipeline runs on `WholeBody`.

    from wholebody.compat.controlnet_aux import DWposeDetector, OpenposeDetector, Processor
    from wholebody.compat.easy_dwpose import DWposeDetector
    from wholebody.compat.rtmlib import Wholebody, Body, PoseTracker, draw_skeleton
    from wholebody.compat.mmpose import MMPoseInferencer

Arguments, types, shapes and rounding are those of the other package, but not its bugs. By default they all run the
bundled networks, so nothing is downloaded; the networks that the other package would have used are available by name
(`wholebody models`). docs/from/ has a page for each with the differences.

Conversions of `Poses` for other programs are here too: aapose, wan_animate, scail, rerun.
"""
