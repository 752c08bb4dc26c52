// Whether a host port can be had, asked of the real kernel.
#include "daemon/vm_ports.hpp"
#include "lib/error.hpp"
#include "tests/integration/without_privilege.hpp"

#include <fstream>
#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(VmPorts, OneOfTheSystemsPortsIsDeniedWithTheWayOut) {
    int first = 0;
    std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first;
    if (first <= 1) {
        GTEST_SKIP() << "everybody may open every port here";
    }
    test::without_privilege([] {
        try {
            check_ports_free(Name::parse("web"), {PublishedPort::parse("1:80")});
            FAIL() << "was accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::denied);
            EXPECT_NE(error.hint().find("ip_unprivileged_port_start=1"), std::string::npos) << error.hint();
        }
    });
}

TEST(VmPorts, AnAddressOfAnotherHostIsInvalid) {
    try {
        check_ports_free(Name::parse("web"), {PublishedPort::parse("192.0.2.1:28080:80")});
        FAIL() << "was accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        EXPECT_STREQ(error.what(), "vm web: 192.0.2.1 is no address of this host");
    }
}

} // namespace
} // namespace capsul
