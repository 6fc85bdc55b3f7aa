/* Copyright: firstlight.cluster authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
#include "state.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_BYTES (1024 * 1024)

static const char *state_path(void)
{
    const char *path = getenv("LAB_GPUS_STATE");
    return path ? path : "/lab/gpus.state";
}

const char *run_path(const char *name)
{
    static char path[512];
    const char *folder = getenv("LAB_RUN_DIR");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/run", name);
    return path;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    char *text = malloc(MAX_BYTES + 1);
    if (text)
        text[fread(text, 1, MAX_BYTES, file)] = '\0';
    fclose(file);
    return text;
}

static int count_lines(const char *text)
{
    int lines = 1;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* Cuts the text into entries in place. */
static struct state *parse(char *text)
{
    struct state *state = calloc(1, sizeof *state);
    struct entry *entry = calloc((size_t)count_lines(text), sizeof *entry);
    if (!state || !entry) {
        free(state);
        free(entry);
        return NULL;
    }
    struct section *section = &state->system;
    section->entries = entry;
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        while (isspace((unsigned char)*line))
            line++;
        if (!*line || *line == '#')
            continue;
        char *value = line + strcspn(line, " \t");
        if (*value)
            *value++ = '\0';
        value += strspn(value, " \t");
        if (!strcmp(line, "gpu")) {
            if (state->gpu_count == MAX_GPUS)
                break;
            section = &state->gpus[state->gpu_count++];
            section->entries = entry;
            continue;
        }
        entry->key = line;
        entry->value = value;
        entry++;
        section->count++;
    }
    return state;
}

const struct state *state_now(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct state *state;
    static struct stat seen;
    struct stat found;

    pthread_mutex_lock(&lock);
    if (stat(state_path(), &found)) {
        state = NULL;
    } else if (!state || found.st_ino != seen.st_ino || found.st_size != seen.st_size ||
               found.st_mtim.tv_sec != seen.st_mtim.tv_sec || found.st_mtim.tv_nsec != seen.st_mtim.tv_nsec) {
        char *text = read_file(state_path());
        state = text ? parse(text) : NULL;
        seen = found;
    }
    const struct state *now = state;
    pthread_mutex_unlock(&lock);
    return now;
}

const char *section_text(const struct section *section, const char *key)
{
    for (int i = 0; i < section->count; i++)
        if (!strcmp(section->entries[i].key, key))
            return section->entries[i].value;
    return NULL;
}

bool section_item(const struct section *section, const char *key, int position, unsigned long long *value)
{
    const char *text = section_text(section, key);
    if (!text)
        return false;
    for (int i = 0; *text; i++) {
        char *end;
        unsigned long long number = strtoull(text, &end, 0);
        if (end == text)
            return false;
        if (i == position) {
            *value = number;
            return true;
        }
        text = end + strspn(end, " \t");
    }
    return false;
}

bool section_number(const struct section *section, const char *key, unsigned long long *value)
{
    return section_item(section, key, 0, value);
}

/* Which of the file's GPUs has the UUID of this one, counted as they stand there; -1 if none has. */
static int place_of(const struct section *gpu)
{
    const struct state *now = state_now();
    const char *wanted = section_text(gpu, "uuid"), *uuid;
    for (int i = 0; now && wanted && i < now->gpu_count; i++)
        if ((uuid = section_text(&now->gpus[i], "uuid")) && !strcmp(uuid, wanted))
            return i;
    return -1;
}

/* The text with the line of the key in that section replaced, or put at its head where there is none. */
static void write_changed(FILE *file, char *text, int place, const char *key, unsigned long long value)
{
    int section = -1;
    size_t length = strlen(key);
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        bool heads = !strncmp(line, "gpu ", 4);
        section += heads;
        if (!heads && section == place && !strncmp(line, key, length) && line[length] == ' ')
            continue;
        fprintf(file, "%s\n", line);
        if (heads && section == place)
            fprintf(file, "%s %llu\n", key, value);
    }
}

bool state_set(const struct section *gpu, const char *key, unsigned long long value)
{
    int place = place_of(gpu);
    char *text = place < 0 ? NULL : read_file(state_path());
    char path[512];
    snprintf(path, sizeof path, "%s.XXXXXX", state_path());
    int descriptor = text ? mkstemp(path) : -1;
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (file) {
        fchmod(descriptor, 0644); /* as every process may ask the driver */
        write_changed(file, text, place, key, value);
    }
    free(text);
    return file && !fclose(file) && !rename(path, state_path());
}

bool state_writable(void)
{
    return access(state_path(), W_OK) == 0;
}

/* The length of a function's name without "_v2", "_v3" and the like. */
static size_t stem(const char *name)
{
    size_t length = strcspn(name, " \t");
    size_t end = length;
    while (end && isdigit((unsigned char)name[end - 1]))
        end--;
    return end < length && end > 2 && name[end - 1] == 'v' && name[end - 2] == '_' ? end - 2 : length;
}

static bool same_function(const char *left, const char *right)
{
    return stem(left) == stem(right) && !strncmp(left, right, stem(left));
}

static void hang(double seconds)
{
    if (seconds <= 0)
        for (;;)
            pause();
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left))
        ;
}

int section_injected(const struct section *section, const char *function)
{
    for (int i = 0; i < section->count; i++) {
        const struct entry *entry = &section->entries[i];
        bool fails = !strcmp(entry->key, "fail");
        if ((!fails && strcmp(entry->key, "hang")) || !same_function(entry->value, function))
            continue;
        const char *argument = entry->value + strcspn(entry->value, " \t");
        if (fails)
            return atoi(argument);
        hang(atof(argument));
    }
    return 0;
}

bool gpu_present(const struct section *gpu)
{
    unsigned long long present;
    return !section_number(gpu, "present", &present) || present;
}

bool gpu_lost(const struct section *gpu)
{
    unsigned long long lost;
    return section_number(gpu, "lost", &lost) && lost;
}

const struct section *gpu_at(const struct state *state, int index)
{
    for (int i = 0; i < state->gpu_count; i++)
        if (gpu_present(&state->gpus[i]) && index-- == 0)
            return &state->gpus[i];
    return NULL;
}

int gpus_on_bus(const struct state *state)
{
    int count = 0;
    for (int i = 0; i < state->gpu_count; i++)
        count += gpu_present(&state->gpus[i]);
    return count;
}

const char *driver_loaded(const struct state *state)
{
    static char version[64];
    const char *told = state ? section_text(&state->system, "driver_loaded") : "none";
    if (told)
        return strcmp(told, "none") ? told : NULL;
    FILE *file = fopen("/usr/share/nvidia/kernel-module-version", "r");
    if (!file)
        return NULL;
    bool found = fscanf(file, "%63s", version) == 1;
    fclose(file);
    return found ? version : NULL;
}

int gpu_fabric_state(const struct section *gpu)
{
    const char *text = section_text(gpu, "fabric_state");
    if (!text)
        return 0;
    if (strcmp(text, "auto"))
        return atoi(text);
    return access(run_path(FABRIC_TRAINED), F_OK) ? 2 : 3;
}
