"""Between OpenAI's two APIs: Responses in front, Chat Completions behind.

``request_of`` turns create params into a chat request, ``response_of`` a chat completion into a Response. Both work on
plain mappings, touch no network, and read each item once.
"""

from gymctl.server.chat.audio import AUDIO_KEYS, audio_uris, has_audio, put_audio_in
from gymctl.server.chat.growing import ChatMessages, GrowingConversations
from gymctl.server.chat.messages import messages_of, prepare_messages
from gymctl.server.chat.replies import output_items, response_of
from gymctl.server.chat.requests import input_messages, parameters_of, request_of
from gymctl.server.chat.stopped import stopped
from gymctl.server.chat.style import Style
from gymctl.server.chat.thinking import fold_reasoning, only_thought, reasoning_of, split_thinking, wrap_thinking
from gymctl.server.chat.token_ids import (
    TRAINING_FIELDS,
    NoTokenIdsError,
    ask_for_token_ids,
    check_training_fields,
    generated,
    prompt_ids,
)

__all__ = [
    "AUDIO_KEYS",
    "TRAINING_FIELDS",
    "ChatMessages",
    "GrowingConversations",
    "NoTokenIdsError",
    "Style",
    "ask_for_token_ids",
    "audio_uris",
    "check_training_fields",
    "fold_reasoning",
    "generated",
    "has_audio",
    "input_messages",
    "messages_of",
    "only_thought",
    "output_items",
    "parameters_of",
    "prepare_messages",
    "prompt_ids",
    "put_audio_in",
    "reasoning_of",
    "request_of",
    "response_of",
    "split_thinking",
    "stopped",
    "wrap_thinking",
]
