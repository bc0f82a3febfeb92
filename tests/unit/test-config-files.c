/* Which files the configuration is made of: directories one over the other, and masks. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config-files.h"
#include "log.h"
#include "words.h"

static char top[] = "/tmp/nsrootd-test-files-XXXXXX";
static char highest[64], middle[64], lowest[64];
static const char *const directories[] = { highest, middle, lowest, NULL };

static void make_directories(void)
{
        cr_assert_not_null(mkdtemp(top));
        snprintf(highest, sizeof(highest), "%s/1", top);
        snprintf(middle, sizeof(middle), "%s/2", top);
        snprintf(lowest, sizeof(lowest), "%s/3", top);
        log_setup(LOG_ERR);
}

static void remove_directories(void)
{
        char command[100];

        snprintf(command, sizeof(command), "rm -r %s", top);
        cr_assert_eq(system(command), 0);
}

TestSuite(files, .init = make_directories, .fini = remove_directories);

/* An empty file with the directories above it, such as "1/nsrootd.conf". */
static const char *make(const char *name)
{
        static char path[200];

        snprintf(path, sizeof(path), "%s/%s", top, name);
        for (char *slash = strchr(path + strlen(top) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                cr_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
        cr_assert_eq(access(path, F_OK), 0);
        return path;
}

/* What is found, below the top, one name after the other. */
static void check(const char *expected)
{
        _cleanup_(words_freep) char **paths = NULL;
        _cleanup_free_ char *why = NULL;
        char found[500] = "";

        cr_assert_eq(config_files_find(directories, &paths, &why), 0, "%s", why ? why : "");
        for (size_t i = 0; paths && paths[i]; i++) {
                cr_assert_eq(strncmp(paths[i], top, strlen(top)), 0);
                strcat(found, paths[i] + strlen(top));
                strcat(found, " ");
        }
        cr_expect_str_eq(found, expected, "%s instead of %s", found, expected);
}

Test(files, there_need_not_be_any)
{
        check("");
        make("1/other");
        check("");
        make("2/nsrootd.conf.d/README");
        check("");
}

Test(files, of_the_main_files_the_first_counts)
{
        make("3/nsrootd.conf");
        check("/3/nsrootd.conf ");
        make("2/nsrootd.conf");
        check("/2/nsrootd.conf ");
        make("1/nsrootd.conf");
        check("/1/nsrootd.conf ");
}

Test(files, dropins_of_all_directories_are_sorted_together)
{
        make("1/nsrootd.conf.d/50-a.conf");
        make("3/nsrootd.conf.d/10-z.conf");
        make("3/nsrootd.conf.d/90-b.conf");
        make("2/nsrootd.conf.d/50-B.conf");
        make("2/nsrootd.conf.d/7.conf");
        make("2/nsrootd.conf");
        check("/2/nsrootd.conf /3/nsrootd.conf.d/10-z.conf /2/nsrootd.conf.d/50-B.conf"
              " /1/nsrootd.conf.d/50-a.conf /2/nsrootd.conf.d/7.conf /3/nsrootd.conf.d/90-b.conf ");
}

Test(files, of_two_of_one_name_that_of_the_higher_directory_counts)
{
        make("3/nsrootd.conf.d/10.conf");
        make("3/nsrootd.conf.d/20.conf");
        make("2/nsrootd.conf.d/10.conf");
        check("/2/nsrootd.conf.d/10.conf /3/nsrootd.conf.d/20.conf ");
        make("1/nsrootd.conf.d/10.conf");
        check("/1/nsrootd.conf.d/10.conf /3/nsrootd.conf.d/20.conf ");
}

Test(files, the_main_file_masks_no_dropin_of_its_name)
{
        make("1/nsrootd.conf");
        make("2/nsrootd.conf.d/nsrootd.conf");
        make("1/nsrootd.conf.d/a.conf");
        check("/1/nsrootd.conf /1/nsrootd.conf.d/a.conf /2/nsrootd.conf.d/nsrootd.conf ");
}

Test(files, other_names_are_no_dropins)
{
        make("1/nsrootd.conf.d/a.conf~");
        make("1/nsrootd.conf.d/a.conf.dpkg-old");
        make("1/nsrootd.conf.d/.hidden.conf");
        make("1/nsrootd.conf.d/conf");
        make("1/nsrootd.conf.d/.conf");
        check("");
}

Test(files, a_link_is_a_main_file_wherever_it_leads)
{
        char path[200];

        make("2/nsrootd.conf");
        make("1/x");
        snprintf(path, sizeof(path), "%s/nsrootd.conf", highest);
        cr_assert_eq(symlink("/nonexistent", path), 0);
        check("/1/nsrootd.conf ");
}

Test(files, what_is_no_directory_is_said)
{
        _cleanup_(words_freep) char **paths = NULL;
        _cleanup_free_ char *why = NULL;
        const char *path = make("2/nsrootd.conf.d");

        cr_expect_eq(config_files_find(directories, &paths, &why), -ENOTDIR);
        cr_assert_not_null(why);
        cr_expect_eq(strncmp(why, path, strlen(path)), 0, "%s", why);
        cr_expect_null(paths);
}

Test(files, what_is_no_directory_of_main_files_is_said)
{
        _cleanup_(words_freep) char **paths = NULL;
        _cleanup_free_ char *why = NULL;

        make("1");
        make("2/nsrootd.conf");
        cr_expect_eq(config_files_find(directories, &paths, &why), -ENOTDIR);
        cr_expect_not_null(why);
}
