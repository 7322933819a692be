/* Preloaded into Janus alone: its ICE skips loopback interfaces, and benches stay on loopback.
 * A network namespace would do too, but asks for privileges that not every container gives. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>

int getifaddrs(struct ifaddrs **list)
{
    int (*next)(struct ifaddrs **) = (int (*)(struct ifaddrs **))dlsym(RTLD_NEXT, "getifaddrs");
    int failed = next(list);

    for (struct ifaddrs *one = failed ? NULL : *list; one; one = one->ifa_next)
        one->ifa_flags &= ~(unsigned)IFF_LOOPBACK;
    return failed;
}
