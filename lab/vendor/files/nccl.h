/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the lab's libnccl.so.2 has.
 */
#ifndef NCCL_H_
#define NCCL_H_

int ncclGetVersion(int *version);
const char *ncclGetErrorString(int code);

#endif
