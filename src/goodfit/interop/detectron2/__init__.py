"""For those who come from Detectron2: its configs and its weights."""
