# ruff: noqa: E501
# fmt: off
"""Table of the members of params, and of the results that a client reads without models.

Generated from the models by ``python -m exec_server_protocol.schema write``: do not edit, run
that again. A row is a member's Python name, its name on the wire, its kind, its default.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Kind: TypeAlias = str | tuple[Any, ...]

REQUIRED: Final[Any] = object()
"""The default of a member that has none."""

TABLE: Final[dict[str, tuple[tuple[str, str, Kind, Any], ...]]] = {
    "DisabledPermissions": (
        ("type", "type", ("one of", "disabled"), "disabled"),
    ),
    "EnvironmentInfo": (
        ("shell", "shell", ("record", "ShellInfo"), REQUIRED),
        ("executor_version", "executorVersion", "text", ""),
        ("provider_id", "providerId", "text", ""),
        ("cwd", "cwd", ("or null", "uri"), None),
        ("user_home_dir", "userHomeDir", ("or null", "uri"), None),
        ("platform_os", "platformOs", "text", ""),
        ("prepend_path_dirs", "prependPathDirs", ("list", "uri"), []),
        ("temporary_directories", "temporaryDirectories", ("list", "uri"), []),
        ("temp_dir", "tempDir", ("or null", "uri"), None),
        ("capabilities", "capabilities", "object", {}),
    ),
    "EnvironmentInfoParams": (
    ),
    "EnvironmentPolicy": (
        ("inherit", "inherit", ("one of", "core", "all", "none"), REQUIRED),
        ("ignore_default_excludes", "ignoreDefaultExcludes", "flag", REQUIRED),
        ("exclude", "exclude", ("list", "text"), REQUIRED),
        ("set", "set", ("map", "text"), REQUIRED),
        ("include_only", "includeOnly", ("list", "text"), REQUIRED),
    ),
    "EnvironmentStatusParams": (
    ),
    "EnvironmentUptimeParams": (
    ),
    "ExternalPermissions": (
        ("type", "type", ("one of", "external"), "external"),
        ("network", "network", ("one of", "restricted", "enabled"), REQUIRED),
    ),
    "FileSystemEntry": (
        ("path", "path", ("tagged", "type", {"path": "PathEntryPath", "glob_pattern": "GlobPatternEntryPath", "special": "SpecialEntryPath"}), REQUIRED),
        ("access", "access", ("one of", "read", "write", "deny", "none"), REQUIRED),
        ("missing_path_behavior", "missing_path_behavior", ("or null", ("one of", "skip")), None),
    ),
    "FixedPlace": (
        ("kind", "kind", ("one of", "root", "minimal", "current_working_directory", "tmpdir", "slash_tmp"), REQUIRED),
    ),
    "FsCanonicalizeParams": (
        ("path", "path", "uri", REQUIRED),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsCloseParams": (
        ("handle_id", "handleId", "text", REQUIRED),
    ),
    "FsCopyParams": (
        ("source_path", "sourcePath", "uri", REQUIRED),
        ("destination_path", "destinationPath", "uri", REQUIRED),
        ("recursive", "recursive", "flag", REQUIRED),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("atomic", "atomic", ("or absent", "flag"), None),
        ("follow_symlinks", "followSymlinks", ("or absent", "flag"), None),
        ("list_skipped", "listSkipped", ("or absent", "flag"), None),
    ),
    "FsCreateDirectoryParams": (
        ("path", "path", "uri", REQUIRED),
        ("recursive", "recursive", ("or null", "flag"), None),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("create_mode", "createMode", ("or absent", ("integer", 0, 4095)), None),
    ),
    "FsCreateSymlinkParams": (
        ("path", "path", "uri", REQUIRED),
        ("target_base64", "targetBase64", "base64", REQUIRED),
        ("overwrite", "overwrite", "flag", False),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsGetMetadataParams": (
        ("path", "path", "uri", REQUIRED),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("details", "details", ("or absent", ("one of", "target", "link")), None),
    ),
    "FsMoveParams": (
        ("source_path", "sourcePath", "uri", REQUIRED),
        ("destination_path", "destinationPath", "uri", REQUIRED),
        ("overwrite", "overwrite", "flag", False),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("keep_attributes", "keepAttributes", ("or absent", "flag"), None),
        ("create_mode", "createMode", ("or absent", ("integer", 0, 4095)), None),
        ("file_mode", "fileMode", ("or absent", ("integer", 0, 4095)), None),
        ("modified_at_ms", "modifiedAtMs", ("or absent", ("integer", 0, 18446744073709551615)), None),
    ),
    "FsOpenParams": (
        ("handle_id", "handleId", "text", REQUIRED),
        ("path", "path", "uri", REQUIRED),
        ("mode", "mode", ("one of", "read", "replace", "update", "create", "extend", "modify"), "read"),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("create_mode", "createMode", ("or absent", ("integer", 0, 4095)), None),
        ("lock", "lock", ("or absent", "flag"), None),
    ),
    "FsReadBlockParams": (
        ("handle_id", "handleId", "text", REQUIRED),
        ("offset", "offset", ("integer", 0, 18446744073709551615), REQUIRED),
        ("len", "len", ("integer", 0, 18446744073709551615), REQUIRED),
    ),
    "FsReadDirectoryParams": (
        ("path", "path", "uri", REQUIRED),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("details", "details", ("or absent", "flag"), None),
    ),
    "FsReadFileParams": (
        ("path", "path", "uri", REQUIRED),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsReadLinkParams": (
        ("path", "path", "uri", REQUIRED),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsRemoveParams": (
        ("path", "path", "uri", REQUIRED),
        ("recursive", "recursive", ("or null", "flag"), None),
        ("force", "force", ("or null", "flag"), None),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsSetMetadataParams": (
        ("path", "path", "uri", REQUIRED),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("file_mode", "fileMode", ("or null", ("integer", 0, 4095)), None),
        ("modified_at_ms", "modifiedAtMs", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("accessed_at_ms", "accessedAtMs", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("now", "now", ("or null", "flag"), None),
    ),
    "FsWalkParams": (
        ("path", "path", "uri", REQUIRED),
        ("options", "options", ("record", "WalkOptions"), REQUIRED),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
    ),
    "FsWatchMissingParams": (
        ("watch_id", "watchId", ("integer", 0, 18446744073709551615), REQUIRED),
        ("missing", "missing", ("at most", 4096, ("list", "uri")), REQUIRED),
        ("present", "present", ("or null", "uri"), None),
    ),
    "FsWriteBlockParams": (
        ("handle_id", "handleId", "text", REQUIRED),
        ("offset", "offset", ("integer", 0, 18446744073709551615), REQUIRED),
        ("chunk", "chunk", "base64", REQUIRED),
    ),
    "FsWriteFileParams": (
        ("path", "path", "uri", REQUIRED),
        ("data_base64", "dataBase64", "text", REQUIRED),
        ("follow_symlinks", "followSymlinks", ("or null", "flag"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("atomic", "atomic", ("or absent", "flag"), None),
        ("exclusive", "exclusive", ("or absent", "flag"), None),
        ("create_mode", "createMode", ("or absent", ("integer", 0, 4095)), None),
        ("file_mode", "fileMode", ("or absent", ("integer", 0, 4095)), None),
        ("modified_at_ms", "modifiedAtMs", ("or absent", ("integer", 0, 18446744073709551615)), None),
        ("flush", "flush", ("or absent", "flag"), None),
    ),
    "GlobPatternEntryPath": (
        ("type", "type", ("one of", "glob_pattern"), "glob_pattern"),
        ("pattern", "pattern", "text", REQUIRED),
    ),
    "HttpBodyDeltaNotification": (
        ("request_id", "requestId", "text", REQUIRED),
        ("seq", "seq", ("integer", 0, 18446744073709551615), REQUIRED),
        ("delta_base64", "deltaBase64", "base64", REQUIRED),
        ("done", "done", "flag", REQUIRED),
        ("error", "error", ("or null", "text"), None),
    ),
    "HttpHeader": (
        ("name", "name", "text", REQUIRED),
        ("value", "value", "text", REQUIRED),
        ("value_env_var", "valueEnvVar", ("or absent", "text"), None),
    ),
    "HttpRequestCancelParams": (
        ("request_id", "requestId", ("at most", 4096, "text"), REQUIRED),
    ),
    "HttpRequestCreditParams": (
        ("request_id", "requestId", ("at most", 4096, "text"), REQUIRED),
        ("pieces", "pieces", ("integer", 0, 18446744073709551615), REQUIRED),
    ),
    "HttpRequestParams": (
        ("method", "method", "text", REQUIRED),
        ("url", "url", "text", REQUIRED),
        ("headers", "headers", ("at most", 512, ("list", ("record", "HttpHeader"))), []),
        ("body_base64", "bodyBase64", ("or null", "base64"), None),
        ("timeout_ms", "timeoutMs", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("redirect_policy", "redirectPolicy", ("one of", "follow", "stop"), "follow"),
        ("request_id", "requestId", ("at most", 4096, "text"), REQUIRED),
        ("stream_response", "streamResponse", "flag", False),
        ("stream_credit", "streamCredit", ("or absent", ("integer", 0, 18446744073709551615)), None),
    ),
    "InitializeParams": (
        ("client_name", "clientName", "text", REQUIRED),
        ("resume_session_id", "resumeSessionId", ("or null", "text"), None),
        ("catch_up", "catchUp", ("or absent", "flag"), None),
    ),
    "InitializeResult": (
        ("session_id", "sessionId", "text", REQUIRED),
        ("environment_info", "environmentInfo", ("or null", ("record", "EnvironmentInfo")), None),
    ),
    "ManagedPermissions": (
        ("type", "type", ("one of", "managed"), "managed"),
        ("file_system", "file_system", ("tagged", "type", {"unrestricted": "UnrestrictedFileSystem", "restricted": "RestrictedFileSystem"}), REQUIRED),
        ("network", "network", ("one of", "restricted", "enabled"), REQUIRED),
    ),
    "OutputChunk": (
        ("seq", "seq", ("integer", 0, 18446744073709551615), REQUIRED),
        ("stream", "stream", ("one of", "stdout", "stderr", "pty"), REQUIRED),
        ("chunk", "chunk", "base64", REQUIRED),
    ),
    "PathEntryPath": (
        ("type", "type", ("one of", "path"), "path"),
        ("path", "path", "uri", REQUIRED),
    ),
    "PolicyContext": (
        ("cwd", "cwd", ("or null", "uri"), None),
        ("workspace_roots", "workspaceRoots", ("list", "uri"), []),
    ),
    "ProcessCatchUpParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("after_seq", "afterSeq", ("integer", 0, 18446744073709551615), REQUIRED),
        ("max_bytes", "maxBytes", ("integer", 0, 18446744073709551615), REQUIRED),
    ),
    "ProcessCatchUpResult": (
        ("chunks", "chunks", ("list", ("record", "OutputChunk")), REQUIRED),
        ("next_seq", "nextSeq", ("integer", 0, 18446744073709551615), REQUIRED),
        ("output_bytes", "outputBytes", ("integer", 0, 18446744073709551615), REQUIRED),
        ("stream_offsets", "streamOffsets", ("or null", ("map of", ("stdout", "stderr", "pty"), ("integer", 0, 18446744073709551615))), None),
        ("exit_seq", "exitSeq", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("exit_code", "exitCode", ("or null", "whole"), None),
        ("closed", "closed", "flag", False),
        ("sandbox_denied", "sandboxDenied", "flag", False),
        ("live", "live", "flag", False),
        ("signal", "signal", ("or absent", ("integer", 0, 18446744073709551615)), None),
        ("stream_ends", "streamEnds", ("or absent", ("map of", ("stdout", "stderr", "pty"), ("integer", 0, 18446744073709551615))), None),
    ),
    "ProcessCloseStdinParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
    ),
    "ProcessListParams": (
    ),
    "ProcessMetadata": (
        ("thread_id", "threadId", ("or null", "uuid"), None),
        ("tool_call_id", "toolCallId", ("or null", "text"), None),
    ),
    "ProcessReadParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("after_seq", "afterSeq", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("max_bytes", "maxBytes", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("wait_ms", "waitMs", ("or null", ("integer", 0, 18446744073709551615)), None),
        ("stream_offsets", "streamOffsets", ("or absent", "flag"), None),
    ),
    "ProcessReadResult": (
        ("chunks", "chunks", ("list", ("record", "OutputChunk")), REQUIRED),
        ("next_seq", "nextSeq", ("integer", 0, 18446744073709551615), REQUIRED),
        ("exited", "exited", "flag", REQUIRED),
        ("exit_code", "exitCode", ("or null", "whole"), None),
        ("closed", "closed", "flag", REQUIRED),
        ("failure", "failure", ("or null", "text"), None),
        ("sandbox_denied", "sandboxDenied", "flag", False),
        ("stream_offsets", "streamOffsets", ("or absent", ("map of", ("stdout", "stderr", "pty"), ("integer", 0, 18446744073709551615))), None),
        ("exit_seq", "exitSeq", ("or absent", ("integer", 0, 18446744073709551615)), None),
        ("signal", "signal", ("or absent", ("integer", 0, 18446744073709551615)), None),
        ("stream_ends", "streamEnds", ("or absent", ("map of", ("stdout", "stderr", "pty"), ("integer", 0, 18446744073709551615))), None),
    ),
    "ProcessResizeParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("rows", "rows", ("integer", 1, 65535), REQUIRED),
        ("cols", "cols", ("integer", 1, 65535), REQUIRED),
    ),
    "ProcessSignalParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("signal", "signal", ("one of", "interrupt", "terminate", "kill", "hangup", "quit", "usr1", "usr2"), REQUIRED),
    ),
    "ProcessStartParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("metadata", "metadata", ("or null", ("record", "ProcessMetadata")), None),
        ("argv", "argv", ("list", "text"), REQUIRED),
        ("cwd", "cwd", "uri", REQUIRED),
        ("env_policy", "envPolicy", ("or null", ("record", "EnvironmentPolicy")), None),
        ("shell_snapshot", "shellSnapshot", ("or null", ("record", "ShellSnapshot")), None),
        ("env", "env", ("map", "text"), REQUIRED),
        ("tty", "tty", "flag", REQUIRED),
        ("pipe_stdin", "pipeStdin", "flag", False),
        ("arg0", "arg0", ("or null", "text"), None),
        ("sandbox", "sandbox", ("or null", ("remembered", ("record", "SandboxContext"))), None),
        ("enforce_managed_network", "enforceManagedNetwork", "flag", False),
        ("managed_network", "managedNetwork", ("or null", "object"), None),
        ("network_proxy", "networkProxy", ("or null", "object"), None),
        ("rows", "rows", ("or absent", ("integer", 1, 65535)), None),
        ("cols", "cols", ("or absent", ("integer", 1, 65535)), None),
        ("output_policy", "outputPolicy", ("or absent", ("one of", "drop-oldest", "back-pressure")), None),
        ("merge_stderr", "mergeStderr", ("or absent", "flag"), None),
        ("details", "details", ("or absent", "flag"), None),
        ("start_errors", "startErrors", ("or absent", "flag"), None),
    ),
    "ProcessStartResult": (
        ("process_id", "processId", "text", REQUIRED),
        ("sandbox_type", "sandboxType", ("one of", "none", "linuxSeccomp", "macosSeatbelt", "windowsRestrictedToken"), "none"),
        ("pid", "pid", ("or absent", ("integer", 0, 18446744073709551615)), None),
    ),
    "ProcessTerminateParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("grace_ms", "graceMs", ("or absent", ("integer", 0, 3600000)), None),
    ),
    "ProcessWriteParams": (
        ("process_id", "processId", ("at most", 4096, "text"), REQUIRED),
        ("chunk", "chunk", "base64", REQUIRED),
        ("write_id", "writeId", ("at most", 4096, "text"), REQUIRED),
    ),
    "ProjectRootsPlace": (
        ("kind", "kind", ("one of", "project_roots"), "project_roots"),
        ("subpath", "subpath", ("or null", "text"), None),
    ),
    "RestrictedFileSystem": (
        ("type", "type", ("one of", "restricted"), "restricted"),
        ("entries", "entries", ("list", ("record", "FileSystemEntry")), REQUIRED),
        ("glob_scan_max_depth", "glob_scan_max_depth", ("or null", ("integer", 1, 18446744073709551615)), None),
    ),
    "SandboxContext": (
        ("permissions", "permissions", ("tagged", "type", {"managed": "ManagedPermissions", "disabled": "DisabledPermissions", "external": "ExternalPermissions"}), REQUIRED),
        ("sandbox_override", "sandboxOverride", ("one of", "noOverride", "escalatedSandboxWithRestrictions", "bypassSandboxFirstAttempt"), "noOverride"),
        ("cwd", "cwd", ("or null", "uri"), None),
        ("policy_context", "policyContext", ("or null", ("record", "PolicyContext")), None),
        ("workspace_roots", "workspaceRoots", ("list", "uri"), []),
        ("user_home_dir", "userHomeDir", ("or null", "uri"), None),
        ("temporary_directories", "temporaryDirectories", ("or null", ("list", "uri")), None),
        ("windows_sandbox_level", "windowsSandboxLevel", ("one of", "disabled", "restricted-token", "elevated", "mxc"), REQUIRED),
        ("windows_sandbox_proxy_settings_mode", "windowsSandboxProxySettingsMode", ("or null", ("one of", "reconcile", "preserve")), None),
        ("use_legacy_landlock", "useLegacyLandlock", "flag", False),
    ),
    "ShellInfo": (
        ("name", "name", "text", REQUIRED),
        ("path", "path", "text", REQUIRED),
    ),
    "ShellSnapshot": (
        ("scope_id", "scopeId", "text", REQUIRED),
        ("shell", "shell", ("record", "ShellSnapshotShell"), REQUIRED),
    ),
    "ShellSnapshotShell": (
        ("name", "name", "text", REQUIRED),
        ("path", "path", "text", REQUIRED),
    ),
    "SpecialEntryPath": (
        ("type", "type", ("one of", "special"), "special"),
        ("value", "value", ("tagged", "kind", {"root": "FixedPlace", "minimal": "FixedPlace", "current_working_directory": "FixedPlace", "tmpdir": "FixedPlace", "slash_tmp": "FixedPlace", "project_roots": "ProjectRootsPlace", "unknown": "UnknownPlace"}), REQUIRED),
    ),
    "UnknownPlace": (
        ("kind", "kind", ("one of", "unknown"), "unknown"),
        ("path", "path", "text", REQUIRED),
        ("subpath", "subpath", ("or null", "text"), None),
    ),
    "UnrestrictedFileSystem": (
        ("type", "type", ("one of", "unrestricted"), "unrestricted"),
    ),
    "WalkOptions": (
        ("max_depth", "maxDepth", ("integer", 0, 18446744073709551615), REQUIRED),
        ("max_directories", "maxDirectories", ("integer", 0, 18446744073709551615), REQUIRED),
        ("max_entries", "maxEntries", ("integer", 0, 18446744073709551615), REQUIRED),
        ("follow_directory_symlinks", "followDirectorySymlinks", "flag", REQUIRED),
        ("prune_hidden_directories", "pruneHiddenDirectories", "flag", False),
    ),
}
