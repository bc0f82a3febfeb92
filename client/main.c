/* nsrootctl: finds the verb, reads the options, runs the verb. Knows no method of the protocol.
 *
 * Exit statuses: `run`, `exec`, `attach` and `wait` of one session exit as the command did (128+n after a
 * signal, 127 not found, 126 not executable, 124 time limit); `doctor` with 0, 1 or 2 by what it finds;
 * everything else exits with 0, or with 125 for whatever failed: wrong usage, no nsrootd, no permission,
 * refused, output that cannot be written. */
#include "client.h"

#include <stdio.h>

#include "failure.h"
#include "lend.h"
#include "protocol.h"

static const Verb *const verbs[] = {
        &verb_run,       &verb_exec,      &verb_attach,      &verb_logs,        &verb_list,   &verb_inspect,
        &verb_top,       &verb_kill,      &verb_stop,        &verb_wait,        &verb_pause,  &verb_resume,
        &verb_root_list, &verb_root_pull, &verb_root_verify, &verb_root_remove, &verb_doctor, &verb_version,
};

const Option client_options[] = {
        OPTION_ROW_TEXT(0, "socket", "PATH", Client, socket,
                        "where nsrootd listens (default: NSROOT_SOCKET, or " SOCKET_PATH_DEFAULT ")"),
        OPTION_ROW_FLAG(0, "json", Client, json, "print JSON, for programs"),
        OPTION_ROW_HELP,
        OPTION_ROW_END,
};

static const OptionTable top_table = {
        .name = "nsrootctl",
        .arguments = "VERB",
        .summary = "Run commands in private, disposable root filesystems",
        .shared = client_options,
        .ends_at_operand = true,
};

static const char *verb_name(const Verb *verb)
{
        return verb->table->name + strlen(VERB_PREFIX);
}

/* Prints help for all verbs that begin with a word. */
static void print_verbs(const char *word)
{
        printf("\nVerbs:\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strncmp(verb_name(verbs[i]), word, strlen(word)) == 0)
                        printf("  %-24s  %s\n", verb_name(verbs[i]), verbs[i]->table->summary);
        printf("\n'nsrootctl VERB --help' tells more of each.\n");
}

/* How many of the words in argv are the verb's name; 0: it is another one. */
static int match_verb(const Verb *verb, char **words)
{
        const char *name = verb_name(verb);
        size_t first = strcspn(name, " ");
        const char *second = name[first] ? name + first + 1 : NULL;

        if (strlen(words[0]) != first || strncmp(words[0], name, first) != 0)
                return 0;
        if (!second)
                return 1;
        return words[1] && streq(words[1], second) ? 2 : 0;
}

static const Verb *find_verb(char **words, int *ret_words)
{
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                *ret_words = match_verb(verbs[i], words);
                if (*ret_words > 0)
                        return verbs[i];
        }
        return NULL;
}

static int check_output(int status)
{
        if (fflush(stdout) == EOF || ferror(stdout))
                return failure_exit("cannot write to standard output: %s", errno_text(errno));
        return status;
}

void client_leave(int status)
{
        exit(check_output(status));
}

static int check_operands(const Verb *verb, char **operands)
{
        unsigned n = 0;

        while (operands[n])
                n++;
        if (n < verb->operands_min)
                return failure_exit("'%s' needs %s: see '%s --help'", verb->table->name,
                                    verb->table->arguments, verb->table->name);
        if (n > verb->operands_max)
                return failure_exit("'%s' has no use for '%s': see '%s --help'", verb->table->name,
                                    operands[verb->operands_max], verb->table->name);
        return 0;
}

/* argv[0] is the last word of the verb. */
static int run_verb(const Verb *verb, Client *client, int argc, char **argv)
{
        _cleanup_free_ char *fault = NULL;
        _cleanup_free_ void *options = NULL;
        int first, r, status;

        options = calloc(1, MAX(verb->size, (size_t)1));
        if (!options)
                return failure_exit("out of memory");
        r = options_parse(verb->table, argc, argv, options, client, &first, &fault);
        if (r < 0)
                status = failure_exit("%s: see '%s --help'", fault ?: "out of memory", verb->table->name);
        else if (r > 0) {
                options_help(verb->table, stdout);
                status = 0;
        } else
                status = check_operands(verb, argv + first) ?: verb->run(client, options, argv + first);
        options_done(verb->table, options, client);
        return status;
}

static int no_verb(char **words)
{
        bool root = streq(words[0], "root");

        if (root && words[1] && (streq(words[1], "--help") || streq(words[1], "-h"))) {
                printf("Usage: nsrootctl root VERB\nLook after the roots that sessions start from.\n");
                print_verbs("root ");
                return 0;
        }
        if (root)
                return failure_exit(
                        "'nsrootctl root' needs list, pull, verify or remove: see 'nsrootctl root --help'");
        return failure_exit("there is no verb '%s': see 'nsrootctl --help'", words[0]);
}

static int dispatch(int argc, char **argv)
{
        const char *socket = getenv("NSROOT_SOCKET");
        Client client = { .socket = socket && *socket ? socket : SOCKET_PATH_DEFAULT };
        _cleanup_free_ char *fault = NULL;
        const Verb *verb;
        int first, words, r;

        r = options_parse(&top_table, argc, argv, NULL, &client, &first, &fault);
        if (r < 0)
                return failure_exit("%s: see 'nsrootctl --help'", fault ?: "out of memory");
        if (r > 0) {
                options_help(&top_table, stdout);
                print_verbs("");
                return 0;
        }
        if (first == argc)
                return failure_exit("a verb is needed, for example 'nsrootctl run': see 'nsrootctl --help'");
        verb = find_verb(argv + first, &words);
        if (!verb)
                return no_verb(argv + first);
        first += words - 1;
        return run_verb(verb, &client, argc - first, argv + first);
}

int main(int argc, char **argv)
{
        int r = lend_fill_standard();

        if (r < 0)
                return failure_exit("cannot open /dev/null: %s", errno_text(r));
        return check_output(dispatch(argc, argv));
}
