"""`wholebody predict`: pictures and videos in, drawings and files of poses out."""
