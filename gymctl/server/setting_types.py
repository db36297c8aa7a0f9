"""Types for the settings of a user's own server, which ``gymctl config check`` knows too."""

from gymctl.config.settings.setting_types import ApiKey, EndpointUrl, HeaderText

__all__ = ["ApiKey", "EndpointUrl", "HeaderText"]
