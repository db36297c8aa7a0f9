"""From a configuration to a checked Compose file: plan, slices, document, text. No network, no Docker, no clock."""

from gymctl.stack.addons.ray import RayCheck
from gymctl.stack.compose.model import ComposeDocument
from gymctl.stack.compose.rules import check_document
from gymctl.stack.compose.yaml import double_dollars, render_compose, to_yaml
from gymctl.stack.images import GymBuild, ImagePlan
from gymctl.stack.placement import one_machine_notes
from gymctl.stack.plan import StackOptions, StackPlan, plan_stack
from gymctl.stack.render import compose_document, render_stack
from gymctl.stack.runtime import GymSource, Runtime, Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.interpolation import dump_slice
from gymctl.stack.slices.slices import Address, head_slice, slice_for

__all__ = [
    "Address",
    "ComposeDocument",
    "GymBuild",
    "GymSource",
    "ImagePlan",
    "RayCheck",
    "Runtime",
    "Runtimes",
    "ServicePlan",
    "StackOptions",
    "StackPlan",
    "check_document",
    "compose_document",
    "double_dollars",
    "dump_slice",
    "head_slice",
    "one_machine_notes",
    "plan_stack",
    "render_compose",
    "render_stack",
    "slice_for",
    "to_yaml",
]
