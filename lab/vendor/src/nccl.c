/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libnccl.so.2 of the lab: which NCCL is installed. The collectives themselves are those of nccl-tests' lab package.
 */
#define API __attribute__((visibility("default")))

/* NCCL has CUDA's runtime in it, which refuses a driver of an older CUDA; nccl-tests' lab package asks in its place. */
API const int lab_cuda_major = CUDA_MAJOR;

API int ncclGetVersion(int *version)
{
    enum { INVALID_ARGUMENT = 4 };
    if (!version)
        return INVALID_ARGUMENT;
    *version = NCCL_VERSION_CODE;
    return 0;
}

API const char *ncclGetErrorString(int code)
{
    static const char *const text[] = {
        "no error",
        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "internal error - please report this issue to the NCCL developers",
        "invalid argument (run with NCCL_DEBUG=WARN for details)",
        "invalid usage (run with NCCL_DEBUG=WARN for details)",
        "remote process exited or there was a network error",
    };
    return code >= 0 && code < (int)(sizeof text / sizeof *text) ? text[code] : "unknown result code";
}
