#!/usr/bin/env python3
"""Compiles DeepSpeed's extensions for the accelerator that DS_ACCELERATOR names, where TORCH_EXTENSIONS_DIR says.

    DEEPSPEED_ENV/bin/python extensions.py BUILDER...
"""
import sys

from deepspeed.accelerator import get_accelerator

for name in sys.argv[1:]:
    get_accelerator().create_op_builder(name).load(verbose=False)
