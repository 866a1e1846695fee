"""The selective forwarding unit: peers, sources, slots, fan-out, rooms."""

from .node import Node, NodeSettings, NodeStatistics
from .peer import Peer
from .publication import Publication, SlotView
from .room import PeerEvents, Room
from .selection import Quality

__all__ = ["Node", "NodeSettings", "NodeStatistics", "Peer", "PeerEvents", "Publication", "Quality", "Room", "SlotView"]
