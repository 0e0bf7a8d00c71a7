"""Runs `flow_plugin.build` of the kit this file belongs to; see there."""

from flow_plugin.build import main

main()
