"""Facts that no export of the binary contains, kept by hand.

The exported schema links a method to its params only. The result type follows from the name
of the params type for most methods; the rest is here. So is what is gated inside a union, and
what exists only in the binary's TypeScript. ``tools/generate.py`` stops when a new method
has neither a rule nor a line here, and a test stops when a line here is no longer needed.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ABSOLUTE_PATH_TYPES",
    "EXPERIMENTAL_NOTIFICATIONS",
    "GATED_ARMS",
    "GATE_RULES",
    "LEGACY_METHODS",
    "RESULT_TYPES",
    "TYPESCRIPT_ONLY_NOTIFICATIONS",
]

RESULT_TYPES: Final[dict[str, str]] = {
    # without a params type that could be renamed
    "account/gatewayOAuth/cancel": "GatewayOAuthCancelResponse",
    "account/logout": "LogoutAccountResponse",
    "account/securitySetup/read": "GetAccountSecuritySetupResponse",
    "account/workspaceMessages/read": "GetWorkspaceMessagesResponse",
    "config/mcpServer/reload": "McpServerRefreshResponse",
    "configRequirements/read": "ConfigRequirementsReadResponse",
    "externalAgentConfig/import/readHistories": "ExternalAgentConfigImportHistoriesReadResponse",
    "memory/reset": "MemoryResetResponse",
    "remoteControl/status/read": "RemoteControlStatusReadResponse",
    "rollout/compress": "RolloutCompressResponse",
    "windowsSandbox/readiness": "WindowsSandboxReadinessResponse",
    # named differently from their params
    "accountSession/list": "AccountSessionsResponse",
    "config/batchWrite": "ConfigWriteResponse",
    "config/value/write": "ConfigWriteResponse",
}
"""Methods whose result is not ``X`` + ``Response`` for params ``X`` + ``Params``."""

LEGACY_METHODS: Final[dict[str, tuple[str, str]]] = {
    "getAuthStatus": ("GetAuthStatusParams", "GetAuthStatusResponse"),
    "getConversationSummary": ("GetConversationSummaryParams", "GetConversationSummaryResponse"),
    "gitDiffToRemote": ("GitDiffToRemoteParams", "GitDiffToRemoteResponse"),
}
"""Methods of the first API that the server still answers: params and result (``legacy_v1``)."""

TYPESCRIPT_ONLY_NOTIFICATIONS: Final[dict[str, str]] = {
    "rawResponse/completed": "RawResponseCompletedNotification",
    "rawResponseItem/completed": "RawResponseItemCompletedNotification",
}
"""Sent by the server, but missing from the union that its JSON Schema lists."""

EXPERIMENTAL_NOTIFICATIONS: Final[frozenset[str]] = frozenset({"thread/settings/updated"})
"""Withheld from clients without the capability, as observed; there may be more of them."""

GATED_ARMS: Final[dict[str, tuple[str | None, str, tuple[str, ...]]]] = {
    "AskForApproval": (None, "askForApproval", ("granular",)),
    "LoginAccountParams": (
        "type",
        "account/login/start",
        ("amazonBedrock", "amazonBedrockAccessKeys", "chatgptAuthTokens"),
    ),
}
"""Unions with gated arms that are in the stable schema all the same.

The tag, or ``None`` where an arm is an object with one key; what stands before the arm's name in
the server's words; the arms. Found by sending every arm of every union to the server.
"""

GATE_RULES: Final[dict[tuple[str, str], str]] = {
    ("thread/fork", "path"): "not empty",
    ("thread/list", "projectId"): "present",
    ("thread/resume", "path"): "not empty",
}
"""Method and gated field that count as used at another time than fields of their kind do.

The server reads an empty path as none. It tells a filter for "in no project", which is null, from
no filter.
"""

ABSOLUTE_PATH_TYPES: Final[frozenset[str]] = frozenset({"AbsolutePathBuf"})
"""Texts that the server refuses unless they are absolute paths, ``file:`` URIs included."""
