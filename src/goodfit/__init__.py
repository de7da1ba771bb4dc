"""goodfit trains segmentation and detection models, configures itself and stops when the fit is good."""
