/* Names that more than one program must agree on. Nothing here is code. */
#pragma once

#define NSROOT_VERSION_URL            "https://nsroot.org/"
#define SOCKET_PATH_DEFAULT           "/run/nsrootd/varlink"
#define STATE_DIR_DEFAULT             "/var/lib/nsrootd"

#define MESSAGE_SIZE_MAX              (256 * 1024)       /* of one Varlink message, its NUL not counted */
#define REPLY_SIZE_MAX                (16 * 1024 * 1024) /* the other way: a List of all there can be */
#define MESSAGE_DEPTH_MAX             8
#define MESSAGE_VALUES_MAX            8192

#define VARLINK_SERVICE               "org.varlink.service"
#define SYSTEMD_SERVICE               "io.systemd.service"
#define SESSION                       "org.nsroot.session"
#define ROOT                          "org.nsroot.root"

#define ERROR_INTERFACE_NOT_FOUND     VARLINK_SERVICE ".InterfaceNotFound"
#define ERROR_METHOD_NOT_FOUND        VARLINK_SERVICE ".MethodNotFound"
#define ERROR_NOT_IMPLEMENTED         VARLINK_SERVICE ".MethodNotImplemented"
#define ERROR_INVALID_PARAMETER       VARLINK_SERVICE ".InvalidParameter"
#define ERROR_PERMISSION_DENIED       VARLINK_SERVICE ".PermissionDenied"
#define ERROR_EXPECTED_MORE           VARLINK_SERVICE ".ExpectedMore"
#define ERROR_SYSTEM                  "io.systemd.System" /* {errno, errnoName}: a fault of ours or the machine's */

#define ERROR_NO_SUCH_SESSION         SESSION ".NoSuchSession"
#define ERROR_AMBIGUOUS_ID            SESSION ".AmbiguousId"
#define ERROR_SESSION_EXISTS          SESSION ".SessionExists"
#define ERROR_SESSION_EXITED          SESSION ".SessionExited"
#define ERROR_NO_TERMINAL             SESSION ".NoTerminal"
#define ERROR_NOT_DETACHED            SESSION ".NotDetached"
#define ERROR_NO_SUCH_COMMAND         SESSION ".NoSuchCommand"
#define ERROR_NO_SUCH_ROOT            SESSION ".NoSuchRoot"
#define ERROR_NO_SUCH_USER            SESSION ".NoSuchUser"
#define ERROR_COMMAND_NOT_FOUND       SESSION ".CommandNotFound"
#define ERROR_EXEC_FAILED             SESSION ".ExecFailed"
#define ERROR_SETUP_FAILED            SESSION ".SetupFailed"
#define ERROR_BAD_FILE_DESCRIPTOR     SESSION ".BadFileDescriptor"
#define ERROR_LIMIT_REACHED           SESSION ".LimitReached"
#define ERROR_LIMIT_UNAVAILABLE       SESSION ".LimitUnavailable"
#define ERROR_REFUSED                 SESSION ".Refused"

#define ERROR_ROOT_NO_SUCH_ROOT       ROOT ".NoSuchRoot"
#define ERROR_ROOT_IN_USE             ROOT ".RootInUse"
#define ERROR_ROOT_SOURCE_UNAVAILABLE ROOT ".SourceUnavailable"
#define ERROR_ROOT_DIGEST_MISMATCH    ROOT ".DigestMismatch"
#define ERROR_ROOT_BAD_BINARY         ROOT ".BadBinary"
#define ERROR_ROOT_NO_SPACE           ROOT ".NoSpace"
#define ERROR_ROOT_CACHE_UNUSABLE     ROOT ".CacheUnusable"
#define ERROR_ROOT_REFUSED            ROOT ".Refused"

/* Exit statuses of nsrootctl that are ours and not the command's. */
#define EXIT_TIMED_OUT                124
#define EXIT_OURS                     125
#define EXIT_NOT_EXECUTABLE           126
#define EXIT_NOT_FOUND                127
