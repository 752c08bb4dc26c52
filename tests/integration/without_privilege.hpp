// Tests run as root too, whom no permission stops.
#pragma once

#include <array>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace capsul::test {

/// Runs `work` on a thread that may no more than any user may.
template <class Work>
void without_privilege(Work work) {
    std::thread([&] {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        const std::array<__user_cap_data_struct, 2> none{};
        ASSERT_EQ(::syscall(SYS_capset, &header, none.data()), 0); // NOLINT: it has no function
        work();
    }).join();
}

} // namespace capsul::test
