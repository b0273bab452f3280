"""It does things while it is only being looked at."""

import logging
import os
import socket
import threading

from core.registry import Plugin
from eager import models

os.environ["EAGER_WAS_HERE"] = "1"
logging.basicConfig()
line = socket.socket()
helper = threading.Thread(target=threading.Event().wait, name="eager-helper", daemon=True)
helper.start()

plugin = Plugin(name="eager", package=__name__, permissions=models.PERMISSIONS)
