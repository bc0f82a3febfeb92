/* See caps.h. */
#include "caps.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int caps_set(uint64_t set)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        for (size_t i = 0; i < ELEMENTSOF(data); i++) {
                uint32_t part = (uint32_t)(set >> (32 * i));
                data[i] = (struct __user_cap_data_struct){ .effective = part, .permitted = part };
        }
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
            syscall(SYS_capset, &header, data) < 0)
                return -errno;
        return 0;
}

int caps_drop_bounding(uint64_t set)
{
        for (unsigned c = 0; c < 64; c++) {
                if (!(set & (UINT64_C(1) << c)))
                        continue;
                if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
                        return errno == EINVAL ? 0 : -errno; /* this kernel knows none from here on */
        }
        return 0;
}
