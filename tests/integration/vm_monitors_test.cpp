#include "daemon/vm_monitors.hpp"

#include "lib/error.hpp"
#include "tests/integration/fake_peer.hpp"

#include <future>
#include <gtest/gtest.h>

namespace capsul::test {
namespace {

using namespace std::chrono_literals;

/// A QEMU that answers query-status with what a test says, and goes on with `after`.
class FakeQemu {
  public:
    FakeQemu(
        const std::filesystem::path& socket, std::string status,
        std::function<void(Peer&)> after = [](Peer&) {})
        : peer_(socket, [this, status = std::move(status), after = std::move(after)](Peer& peer) {
              peer.send("{\"QMP\": {}}\n");
              answer(peer, "{}");
              answer(peer, status);
              ++answered_;
              after(peer);
              peer.wait_for_end();
          }) {}
    [[nodiscard]] int answered() const { return answered_; }

  private:
    static void answer(Peer& peer, const std::string& value) {
        const std::string command = peer.read_line();
        const std::string id = command.empty() ? "0" : Json::parse(command).at("id").dump();
        peer.send("{\"return\": " + value + ", \"id\": " + id + "}\n");
    }

    std::atomic<int> answered_ = 0;
    FakePeer peer_;
};

template <class Condition>
bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

class VmMonitorsTest : public testing::Test {
  protected:
    VmMonitorsTest() { make_folders(socket_.parent_path()); }

    [[nodiscard]] std::vector<std::string> told() {
        const std::lock_guard lock(mutex_);
        return told_;
    }

    const Name name_ = Name::parse("web");
    TemporaryFolder folder_;
    Paths paths_{folder_.path(), folder_.path(), folder_.path(), folder_.path(), folder_.path()};
    std::filesystem::path socket_ = paths_.vm_runtime(name_) / "qmp.sock";
    std::mutex mutex_;
    std::vector<std::string> told_;
    EventLog events_{folder_.path(), [this](const std::string& type, const std::string&) {
                         const std::lock_guard lock(mutex_);
                         told_.push_back(type);
                     }};
    VmMonitors monitors_{paths_, events_};
};

TEST_F(VmMonitorsTest, AStatusThatIsNoneIsAnErrorOfThisVmOnly) {
    for (const char* status : {"[]", "{}", "7", "null", R"({"running": "x"})", R"({"running": null})"}) {
        std::filesystem::remove(socket_);
        const FakeQemu qemu(socket_, status);
        try {
            static_cast<void>(monitors_.connection(name_, 20s));
            ADD_FAILURE() << status;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::internal) << status;
        }
        monitors_.adopt(name_); // on the background's thread
        EXPECT_TRUE(comes_true([&] { return qemu.answered() == 2; })) << status;
    }
    std::filesystem::remove(socket_);
    const FakeQemu qemu(socket_, R"({"running": false})");
    EXPECT_TRUE(monitors_.connection(name_, 20s)->connected());
    EXPECT_TRUE(monitors_.paused(name_));
}

TEST_F(VmMonitorsTest, APauseIsToldOnceWhoeverSaysSo) {
    const FakeQemu qemu(socket_, R"({"running": true})", [](Peer& peer) {
        peer.send("{\"event\": \"STOP\"}\n{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n");
    });
    static_cast<void>(monitors_.connection(name_, 20s));
    EXPECT_TRUE(comes_true([&] { return told().size() == 2; }));
    monitors_.set_paused(name_, false);
    monitors_.set_paused(name_, true);
    monitors_.set_paused(name_, true);
    EXPECT_EQ(told(), (std::vector<std::string>{"vm.paused", "vm.resumed", "vm.paused"}));
}

TEST_F(VmMonitorsTest, AFloodOfEventsIsCutAndTheStateStaysRight) {
    const FakeQemu qemu(socket_, R"({"running": true})", [](Peer& peer) {
        for (int i = 0; i < 1000; ++i) {
            peer.send("{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n{\"event\": \"GUEST_PANICKED\"}\n");
        }
        peer.send("{\"event\": \"STOP\"}\n{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\n");
    });
    static_cast<void>(monitors_.connection(name_, 20s));
    EXPECT_TRUE(comes_true([&] { return monitors_.guest_shutdowns(name_) == 1; }));
    EXPECT_TRUE(monitors_.paused(name_));
    EXPECT_GE(told().size(), 10U);
    EXPECT_LE(told().size(), 100U);
}

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
    const auto connection = monitors.connection(name, 20s);
    monitors.unit_changed(name, "inactive");
    end.set_value();
    connection->wait_until_ended(20s);
    EXPECT_FALSE(connection->connected());
    EXPECT_EQ(monitors.guest_shutdowns(name), 1U);
}

} // namespace
} // namespace capsul::test
