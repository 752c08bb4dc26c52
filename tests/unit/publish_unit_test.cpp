#include "daemon/publish_unit.hpp"
#include "daemon/unit_file.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

const char* const programs = "/usr/libexec/capsul";

std::vector<PublishedPort> ports() {
    return {PublishedPort::parse("8080:80"), PublishedPort::parse("0.0.0.0:5353:53/udp"),
            PublishedPort::parse("[::]:8443:443")};
}

TEST(PublishUnit, IsAsGolden) {
    const Name web = Name::parse("web");
    expect_golden("capsul-publish-web.socket", publish_socket_unit(web, ports()));
    expect_golden("capsul-publish-web.service",
                  publish_service_unit(web, ports(), IpAddress::parse("10.80.0.2"), programs));
}

TEST(PublishUnit, ShowsProgramsWhereverTheyAre) {
    const auto unit = [](const char* folder) {
        return publish_service_unit(Name::parse("web"), ports(), IpAddress::parse("fd80::2"), folder);
    };
    const std::string in_srv = unit("/srv/capsul/libexec");
    EXPECT_NE(in_srv.find("\nBindReadOnlyPaths=/srv/capsul/libexec\nExecPaths=/usr /srv/capsul/libexec\n"),
              std::string::npos);
    EXPECT_NE(in_srv.find("\nInaccessiblePaths=-/boot -/mnt -/media\n"), std::string::npos);
    EXPECT_NE(in_srv.find("/capsul-relay fd80::2 127.0.0.1:8080:80/tcp "), std::string::npos);
    EXPECT_NE(unit(programs).find("\nInaccessiblePaths=-/boot -/srv -/mnt -/media\n"), std::string::npos);
}

// What the guest's address is may change while the ports stay open: they are not closed for it.
TEST(PublishUnit, OfTheSocketDoesNotDependOnTheGuest) {
    const std::string socket = publish_socket_unit(Name::parse("web"), ports());
    EXPECT_EQ(socket.find(":80/"), std::string::npos);
    EXPECT_EQ(check_seal(socket), SealState::whole);
}

} // namespace
} // namespace capsul
