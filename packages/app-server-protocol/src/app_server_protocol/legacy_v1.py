"""Types of the three methods of the first API that the server still answers.

``getAuthStatus``, ``getConversationSummary`` and ``gitDiffToRemote`` are deprecated and are
missing from the JSON Schema that the binary exports, so these are written by hand. New code
has no use for them; a proxy or a server may see them.
"""

from __future__ import annotations

import sys
from typing import TypeAlias

from .types import AuthMode, SessionSource, ThreadId

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # as in ``types``
    from typing_extensions import TypedDict

__all__ = [
    "ConversationGitInfo",
    "ConversationSummary",
    "GetAuthStatusParams",
    "GetAuthStatusResponse",
    "GetConversationSummaryParams",
    "GetConversationSummaryParamsConversationId",
    "GetConversationSummaryParamsRolloutPath",
    "GetConversationSummaryResponse",
    "GitDiffToRemoteParams",
    "GitDiffToRemoteResponse",
    "GitSha",
]

GitSha: TypeAlias = str


class GetAuthStatusParams(TypedDict, total=False):
    """Params of ``getAuthStatus``."""

    includeToken: bool | None
    refreshToken: bool | None


class GetAuthStatusResponse(TypedDict):
    """Result of ``getAuthStatus``."""

    authMethod: AuthMode | None
    authToken: str | None
    requiresOpenaiAuth: bool | None


class GetConversationSummaryParamsRolloutPath(TypedDict):
    """Names a conversation by the path of its record."""

    rolloutPath: str


class GetConversationSummaryParamsConversationId(TypedDict):
    """Names a conversation by its id."""

    conversationId: ThreadId


GetConversationSummaryParams: TypeAlias = (
    GetConversationSummaryParamsRolloutPath | GetConversationSummaryParamsConversationId
)
"""Params of ``getConversationSummary``."""


class ConversationGitInfo(TypedDict):
    """The repository of a conversation."""

    sha: str | None
    branch: str | None
    origin_url: str | None


class ConversationSummary(TypedDict):
    """A conversation without its turns."""

    conversationId: ThreadId
    path: str
    preview: str
    timestamp: str | None
    updatedAt: str | None
    modelProvider: str
    cwd: str
    cliVersion: str
    source: SessionSource
    gitInfo: ConversationGitInfo | None


class GetConversationSummaryResponse(TypedDict):
    """Result of ``getConversationSummary``."""

    summary: ConversationSummary


class GitDiffToRemoteParams(TypedDict):
    """Params of ``gitDiffToRemote``."""

    cwd: str


class GitDiffToRemoteResponse(TypedDict):
    """Result of ``gitDiffToRemote``."""

    sha: GitSha
    diff: str
