"""The record files, and how a build survives kills and full disks."""
