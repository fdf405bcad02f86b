# SPDX-License-Identifier: LGPL-2.1-or-later
# The extension module is made by cffi and knows its types at run time only.
from typing import Any

ffi: Any
lib: Any
