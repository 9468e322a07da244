"""Labels by agreement: several detectors and estimators process photos, and what they agree on becomes labels.

boxes      one box for each person out of several detectors'           keypoints  one pose out of several looks
detectors  released detectors behind one call                         looks      released estimators, crops turned
tflite     TensorFlow Lite files as sessions                                     and mirrored
run        one picture, a folder of pictures: `wholebody label`       closeups   faces and hands in crops of their own
"""
