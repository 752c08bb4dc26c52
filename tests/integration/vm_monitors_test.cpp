// How a VM ends, told by a QEMU that speaks when the test wants.
#include "daemon/vm_monitors.hpp"
#include "tests/integration/fake_peer.hpp"

#include <future>
#include <gtest/gtest.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

TEST(VmMonitors, CountsAGuestsShutdownThatIsHeardAfterTheUnitsEnd) {
    const test::TemporaryFolder folder;
    const Paths paths{.data = folder.path(),
                      .state = folder.path(),
                      .config = folder.path(),
                      .units = folder.path(),
                      .runtime = folder.path()};
    const Name name = Name::parse("web");
    fs::create_directories(paths.vm_runtime(name));
    std::promise<void> end;
    test::FakePeer qemu(paths.vm_runtime(name) / "qmp.sock", [&](test::Peer& client) {
        client.send(R"({"QMP": {"version": {}, "capabilities": []}})"
                    "\n");
        client.read_line();
        client.send(R"({"return": {}, "id": 1})"
                    "\n");
        client.read_line();
        client.send(R"({"return": {"running": true}, "id": 2})"
                    "\n");
        end.get_future().wait();
        std::this_thread::sleep_for(50ms); // for the monitors' own thread, which drops connections
        client.send(R"({"event": "SHUTDOWN", "data": {"guest": true}})"
                    "\n");
    });
    EventLog events(folder.path());
    VmMonitors monitors(paths, events);
    const auto connection = monitors.connection(name, 5s);
    monitors.unit_changed(name, "inactive");
    end.set_value();
    connection->wait_until_ended(5s);
    EXPECT_FALSE(connection->connected());
    EXPECT_EQ(monitors.guest_shutdowns(name), 1U);
}

} // namespace
} // namespace capsul
