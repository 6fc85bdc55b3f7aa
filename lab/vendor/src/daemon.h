/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the vendor's daemons have in common: going to the background, a pid file, waiting for the end.
 */
#ifndef FIRSTLIGHT_DAEMON_H
#define FIRSTLIGHT_DAEMON_H

/* Says it on standard error and in the system log; a format as for printf. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Creates an empty file, and its folder, below /run. Returns its path in memory of its own; ends the program when that
 * fails. */
char *make_run_file(const char *name);

/* Goes to the background and leaves its pid in the file; returns in the daemon only. */
void go_to_background(const char *pid_path);

/* Returns when the daemon is told to end. */
void wait_for_end(void);

#endif
