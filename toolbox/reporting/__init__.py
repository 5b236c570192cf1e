"""From the records of all runs to one report, one file per part. No part writes a file."""
