"""
Configuration: the YAML file, the environment and the pepper file, read once and refused when doubtful.

    config = load("authsvc.yaml")                           # the products and the server's settings
    settings = Settings.from_environment(os.environ)        # addresses, database, files
    check_plaintext(settings, config)                       # what takes both to judge
    pepper_set = peppers.read(settings.pepper_file)
"""

from __future__ import annotations

from authsvc.config import peppers
from authsvc.config.addresses import Address, parse_address
from authsvc.config.admin import admin_api
from authsvc.config.listeners import Listener, Tls
from authsvc.config.loader import Cache, Config, load, read
from authsvc.config.problems import ConfigError, Problem
from authsvc.config.schema import json_schema
from authsvc.config.secret_files import read_token
from authsvc.config.settings import Settings, check_plaintext
from authsvc.config.workers import worker_environments

__all__ = [
    "Address",
    "Cache",
    "Config",
    "ConfigError",
    "Listener",
    "Problem",
    "Settings",
    "Tls",
    "admin_api",
    "check_plaintext",
    "json_schema",
    "load",
    "parse_address",
    "peppers",
    "read",
    "read_token",
    "worker_environments",
]
