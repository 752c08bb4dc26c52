#include "daemon/systemd_client.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/integration/fake_systemd.hpp"
#include "tests/temporary_folder.hpp"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <stdlib.h>
#include <thread>

namespace capsul::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::Pair;

std::uint64_t monotonic_usec() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

/// Collects what the client reports, and waits for it.
class Changes {
  public:
    void add(const UnitStatus& unit) {
        const std::lock_guard lock(mutex_);
        list_.push_back(unit.name + " " + unit.active_state);
        changed_.notify_all();
    }
    bool wait_for(const std::string& change) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 20s, [&] { return std::ranges::find(list_, change) != list_.end(); });
    }
    std::vector<std::string> list() {
        const std::lock_guard lock(mutex_);
        return list_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> list_;
};

class SystemdClientTest : public testing::Test {
  protected:
    SystemdClientTest() {
        std::filesystem::create_directories(folder_ / "units");
        std::filesystem::create_directories(folder_ / "run");
        systemd_ = std::make_unique<FakeSystemd>(
            FakeSystemdFolders{folder_ / "the socket", folder_ / "units", folder_ / "run", folder_});
        client_ = std::make_unique<SystemdClient>(folder_ / "the socket", "capsul-vm-*.service",
                                                  [this](const UnitStatus& unit) { changes_.add(unit); });
    }

    void write_unit(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ / "units" / name) << text;
    }
    void write_sleeper(const std::string& name) const {
        write_unit(name, "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n");
    }
    template <class Action>
    static Error error_of(Action action) {
        try {
            action();
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "no Error was thrown";
        return {ErrorCode::internal, ""};
    }

    const TemporaryFolder temporary_;
    const std::filesystem::path folder_ = temporary_.path();
    Changes changes_;
    std::unique_ptr<FakeSystemd> systemd_;
    std::unique_ptr<SystemdClient> client_;
};

constexpr auto vm = "capsul-vm-web.service";

TEST_F(SystemdClientTest, StartsAndStopsAUnit) {
    write_unit(vm, "[Service]\nType=exec\nExecStart=/bin/sleep 1000\nSyslogIdentifier=qemu-web\n");
    const std::uint64_t before = monotonic_usec();
    EXPECT_EQ(client_->start(vm, 20s), JobResult::done);
    const ServiceStatus running = client_->status(vm);
    EXPECT_EQ(running.active_state, "active");
    EXPECT_EQ(running.load_state, "loaded");
    EXPECT_EQ(running.fragment_path, (folder_ / "units" / vm).string());
    EXPECT_GT(running.main_pid, 1);
    EXPECT_GT(running.active_enter_usec, 1'600'000'000'000'000U);
    EXPECT_THAT(running.exec_main_start_usec, AllOf(Ge(before), Le(monotonic_usec())));
    EXPECT_EQ(running.syslog_identifier, "qemu-web");
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
    EXPECT_EQ(client_->status(vm).active_state, "inactive");
    EXPECT_NE(::kill(running.main_pid, 0), 0);
}

TEST_F(SystemdClientTest, StartsWithOneCallAndNoReload) {
    write_sleeper(vm);
    (void)client_->version();
    systemd_->reset_calls();
    (void)client_->start(vm, 20s);
    EXPECT_THAT(systemd_->calls(), ElementsAre(Pair("StartUnit", 1)));
}

TEST_F(SystemdClientTest, ListsWithOneCallForAllUnits) {
    write_sleeper(vm);
    write_sleeper("capsul-vm-db.service");
    write_sleeper("other.service");
    for (const char* unit : {vm, "capsul-vm-db.service", "other.service"}) {
        (void)client_->start(unit, 20s);
    }
    systemd_->reset_calls();
    const std::vector<UnitStatus> units = client_->list("capsul-vm-*.service");
    EXPECT_THAT(systemd_->calls(), ElementsAre(Pair("ListUnitsByPatterns", 1)));
    ASSERT_EQ(units.size(), 2U);
    EXPECT_EQ(units[0].name, "capsul-vm-db.service");
    EXPECT_EQ(units[1].name, vm);
    EXPECT_EQ(units[1].active_state, "active");
}

TEST_F(SystemdClientTest, SaysThatAUnitWithoutAFileIsNotFound) {
    const Error error = error_of([&] { (void)client_->start(vm, 20s); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_THAT(error.what(), HasSubstr("Unit capsul-vm-web.service not found."));
    const ServiceStatus status = client_->status(vm);
    EXPECT_EQ(status.load_state, "not-found");
    EXPECT_EQ(status.active_state, "inactive");
}

TEST_F(SystemdClientTest, GivesSystemdsWordsForABadUnit) {
    write_unit(vm, "[Service]\nType=exec\n");
    const Error error = error_of([&] { (void)client_->start(vm, 20s); });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("bad unit file setting"));
}

TEST_F(SystemdClientTest, TakesStoppingWhatDoesNotRunForDone) {
    EXPECT_EQ(client_->stop("capsul-vm-none.service", 20s), JobResult::done);
    write_sleeper(vm);
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
}

TEST_F(SystemdClientTest, TellsThatAStartFailed) {
    write_unit(vm, "[Service]\nType=exec\nExecStartPre=/bin/false\nExecStart=/bin/sleep 1000\n");
    EXPECT_EQ(client_->start(vm, 20s), JobResult::failed);
    const ServiceStatus status = client_->status(vm);
    EXPECT_EQ(status.active_state, "failed");
    EXPECT_EQ(status.result, "exit-code");
    client_->reset_failed(vm);
    EXPECT_EQ(client_->status(vm).active_state, "inactive");
    client_->reset_failed(vm);
}

TEST_F(SystemdClientTest, GivesTheResultsOfAServiceThatEndedBadly) {
    write_unit(vm, "[Service]\nType=exec\nExecStart=/bin/sh -c \"exit 7\"\n");
    (void)client_->start(vm, 20s);
    EXPECT_TRUE(client_->wait_until_stopped(vm, 20s));
    const ServiceStatus status = client_->status(vm);
    EXPECT_EQ(status.active_state, "failed");
    EXPECT_EQ(status.result, "exit-code");
    EXPECT_EQ(status.exec_main_status, 7);
    EXPECT_EQ(status.main_pid, 0);
}

TEST_F(SystemdClientTest, StopsWaitingForAJobAtTheLimit) {
    write_unit(vm, "[Service]\nExecStartPre=/bin/sleep 1000\nExecStart=/bin/sleep 1000\n");
    EXPECT_EQ(error_of([&] { (void)client_->start(vm, 50ms); }).code(), ErrorCode::timeout);
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service activating"));
    EXPECT_EQ(client_->status(vm).active_state, "activating");
}

TEST_F(SystemdClientTest, TellsAStartThatAStopReplaced) {
    write_unit(vm, "[Service]\nExecStartPre=/bin/sleep 1000\nExecStart=/bin/sleep 1000\n");
    std::thread starter([&] { EXPECT_EQ(client_->start(vm, 20s), JobResult::canceled); });
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service activating"));
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
    starter.join();
}

TEST_F(SystemdClientTest, KnowsAJobThatEndedBeforeItsAnswerCame) {
    systemd_->answer_jobs_late();
    write_sleeper(vm);
    EXPECT_EQ(client_->start(vm, 20s), JobResult::done);
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
}

TEST_F(SystemdClientTest, StartsWhatAUnitRequires) {
    write_unit("capsul-tap-web.service",
               "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n");
    write_unit(vm, "[Unit]\nRequires=capsul-tap-web.service\n[Service]\nExecStart=/bin/sleep 1000\n");
    EXPECT_EQ(client_->start(vm, 20s), JobResult::done);
    write_unit("broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    write_unit("capsul-vm-b.service",
               "[Unit]\nRequires=broken.service\n[Service]\nExecStart=/bin/sleep 1000\n");
    EXPECT_EQ(client_->start("capsul-vm-b.service", 20s), JobResult::dependency);
}

TEST_F(SystemdClientTest, KillsTheMainProcess) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    client_->kill(vm, SIGKILL);
    EXPECT_TRUE(client_->wait_until_stopped(vm, 20s));
    const ServiceStatus status = client_->status(vm);
    EXPECT_EQ(status.result, "signal");
    EXPECT_EQ(status.exec_main_status, SIGKILL);
    client_->kill(vm, SIGKILL);                     // has no process
    client_->kill("capsul-vm-no.service", SIGTERM); // is not loaded
}

TEST_F(SystemdClientTest, WaitsForAnEndWithoutPolling) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    systemd_->reset_calls();
    EXPECT_FALSE(client_->wait_until_stopped(vm, 2s));
    EXPECT_THAT(systemd_->calls(), ElementsAre(Pair("Get", 1)));
    std::thread waiter([&] { EXPECT_TRUE(client_->wait_until_stopped(vm, 20s)); });
    (void)client_->stop(vm, 20s);
    waiter.join();
    EXPECT_TRUE(client_->wait_until_stopped(vm, 20s));
}

TEST_F(SystemdClientTest, WaitsForUnitsThatItDoesNotFollowToo) {
    write_sleeper("other.service");
    (void)client_->start("other.service", 20s);
    std::thread waiter([&] { EXPECT_TRUE(client_->wait_until_stopped("other.service", 20s)); });
    (void)client_->stop("other.service", 20s);
    waiter.join();
    EXPECT_TRUE(changes_.list().empty());
}

TEST_F(SystemdClientTest, ReportsTheEndOfAUnitThatIsForgottenAtOnce) {
    write_unit(vm, "[Service]\nType=exec\nExecStart=/bin/true\n");
    (void)client_->start(vm, 20s);
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service inactive"));
    EXPECT_TRUE(client_->list("*").empty());
}

TEST_F(SystemdClientTest, ReportsEachChangeOnce) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    (void)client_->stop(vm, 20s);
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service inactive"));
    std::vector<std::string> changes = changes_.list();
    EXPECT_EQ(std::ranges::count(changes, "capsul-vm-web.service active"), 1);
    EXPECT_EQ(changes.back(), "capsul-vm-web.service inactive");
    EXPECT_EQ(std::ranges::adjacent_find(changes), changes.end());
}

TEST_F(SystemdClientTest, IsNotMisledByAReload) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    const std::vector<std::string> before = changes_.list();
    std::thread waiter([&] { EXPECT_FALSE(client_->wait_until_stopped(vm, 2s)); });
    client_->reload();
    waiter.join();
    (void)client_->version();
    EXPECT_EQ(changes_.list(), before);
    EXPECT_EQ(client_->list("capsul-vm-*.service").size(), 1U);
}

TEST_F(SystemdClientTest, SeesThatAFileChangedUnderAUnit) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    EXPECT_FALSE(client_->status(vm).need_daemon_reload);
    std::filesystem::create_directory(folder_ / "units/capsul-vm-web.service.d");
    write_unit("capsul-vm-web.service.d/a.conf", "[Service]\nEnvironment=A=1\n");
    std::filesystem::last_write_time(folder_ / "units" / vm,
                                     std::filesystem::file_time_type::clock::now() + 1h);
    EXPECT_TRUE(client_->status(vm).need_daemon_reload);
    client_->reload();
    EXPECT_FALSE(client_->status(vm).need_daemon_reload);
    EXPECT_THAT(client_->status(vm).drop_in_paths,
                ElementsAre((folder_ / "units/capsul-vm-web.service.d/a.conf").string()));
}

TEST_F(SystemdClientTest, SurvivesAReexecution) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    for (int i = 0; i < 20; ++i) {
        systemd_->reexecute();
        EXPECT_EQ(client_->status(vm).active_state, "active");
    }
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
}

TEST_F(SystemdClientTest, WaitsForAManagerThatComesBack) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    systemd_->go_away();
    std::thread caller([&] { EXPECT_EQ(client_->list("*").size(), 1U); });
    systemd_->come_back();
    caller.join();
}

TEST_F(SystemdClientTest, KnowsAJobThatEndedDuringAReexecution) {
    write_unit(vm, "[Service]\nExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'until test -e " +
                       folder_.string() + "/go; do sleep 0.01; done; exit 3'\n");
    (void)client_->start(vm, 20s);
    std::thread waiter([&] { EXPECT_TRUE(client_->wait_until_stopped(vm, 20s)); });
    std::thread stopper([&] { EXPECT_EQ(client_->stop(vm, 20s), JobResult::done); });
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service deactivating"));
    systemd_->go_away();
    std::ofstream(folder_ / "go") << "";
    systemd_->come_back();
    stopper.join();
    waiter.join();
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service failed"));
}

TEST_F(SystemdClientTest, ReportsWhatChangedWhileItWasAway) {
    write_sleeper(vm);
    (void)client_->start(vm, 20s);
    const std::int32_t pid = client_->status(vm).main_pid;
    systemd_->go_away();
    ::kill(pid, SIGTERM);
    systemd_->come_back();
    EXPECT_TRUE(changes_.wait_for("capsul-vm-web.service inactive"));
}

TEST_F(SystemdClientTest, ServesManyCallersAtOnce) {
    std::vector<std::thread> callers;
    for (int i = 0; i < 8; ++i) {
        const std::string unit = "capsul-vm-" + std::to_string(i) + ".service";
        write_sleeper(unit);
        callers.emplace_back([this, unit] {
            EXPECT_EQ(client_->start(unit, 20s), JobResult::done);
            EXPECT_EQ(client_->status(unit).active_state, "active");
            EXPECT_EQ(client_->stop(unit, 20s), JobResult::done);
            EXPECT_TRUE(client_->wait_until_stopped(unit, 20s));
        });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
}

TEST_F(SystemdClientTest, GivesTheVersion) {
    EXPECT_EQ(client_->version(), "252.39-1~fake");
}

TEST(SystemdClient, SaysThatThereIsNoManager) {
    SystemdClient client("/nonexistent/systemd/private", "*", [](const UnitStatus&) {});
    for (int i = 0; i < 3; ++i) {
        try {
            (void)client.list("*");
            FAIL() << "it answered";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_capable);
            EXPECT_THAT(error.hint(), HasSubstr("linger"));
        }
    }
}

TEST_F(SystemdClientTest, EndsWhileACallerStillHasAJob) {
    systemd_->stop_answering();
    EXPECT_EQ(error_of([&] { (void)client_->start(vm, 50ms); }).code(), ErrorCode::timeout);
    client_.reset();
}

TEST_F(SystemdClientTest, RunsUnitsAsTheirFilesSay) {
    write_unit(vm, "[Service]\nType=oneshot\nRemainAfterExit=yes\nRuntimeDirectory=capsul/vms/web\n"
                   "ExecStartPre=/usr/bin/test -d \"%t/capsul/vms/web\"\n"
                   "ExecStart=\"/usr/bin/printf\" \"%%s|\" \"a \\\"b\\\" $$HOME 100%% \\\\ \" %n\n"
                   "ExecStop=/bin/echo stopped\nExecStopPost=-/bin/false\n");
    EXPECT_EQ(client_->start(vm, 20s), JobResult::done);
    EXPECT_TRUE(std::filesystem::is_directory(folder_ / "run/capsul/vms/web"));
    EXPECT_EQ(client_->stop(vm, 20s), JobResult::done);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "run/capsul/vms/web"));
    const std::string output = read_file(folder_ / "run/capsul-vm-web.service.log");
    EXPECT_EQ(output, "a \"b\" $HOME 100% \\ |capsul-vm-web.service|stopped\n");
}

} // namespace
} // namespace capsul::test
