"""The interfaces of other packages over `WholeBody`: change one line, the import, and a pipeline runs.

    from wholebody.compat.controlnet_aux import DWposeDetector, OpenposeDetector, Processor
    from wholebody.compat.easy_dwpose import DWposeDetector
    from wholebody.compat.rtmlib import Wholebody, Body, PoseTracker, draw_skeleton
    from wholebody.compat.mmpose import MMPoseInferencer

Arguments, types, shapes and rounding are the other package's; its faults are not. All of them run the bundled networks
where none is named, so that nothing is downloaded; the networks that the other package would have run are a name away
(`wholebody models`). What differs is listed in docs/from/, a page for each.

What other programs draw and read is here too, made of `Poses`: aapose, wan_animate, scail, rerun.
"""
