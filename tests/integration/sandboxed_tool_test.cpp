// Runs of programs in units of their own, over a fake systemd that really runs them, with their limits.
#include "daemon/sandboxed_tool.hpp"

#include "lib/error.hpp"
#include "tests/integration/fake_launcher.hpp"
#include "tests/integration/fake_systemd.hpp"
#include "tests/temporary_folder.hpp"

#include <atomic>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <set>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

class SandboxedToolTest : public testing::Test {
  protected:
    SandboxedToolTest() {
        for (const fs::path& folder : {paths_.data, paths_.units, paths_.systemd_socket().parent_path()}) {
            make_folders(folder);
        }
        systemd_.emplace(
            test::FakeSystemdFolders{paths_.systemd_socket(), paths_.units, paths_.runtime, base_.path()});
        client_.emplace(paths_.systemd_socket(), "capsul-vm-*.service", [](const UnitStatus&) {});
        make_launcher(programs_);
        tool_.emplace(paths_, programs_, *client_);
    }

    static ToolRun shell(const std::string& script) {
        return {{"/bin/sh", "-c", script}, {"/dev/null"}, {}, {60s, std::uint64_t{1} << 30U, 60, 1U << 20U}};
    }

    /// Units and pipes that are there.
    std::set<std::string> left() const {
        std::set<std::string> files;
        for (const fs::path& folder : {paths_.units, paths_.runtime / "capsul/tools"}) {
            std::error_code none;
            for (const auto& entry : fs::directory_iterator(folder, none)) {
                files.insert(entry.path().filename().string());
            }
        }
        return files;
    }

    /// systemd forgets a unit that has ended when it has nothing else to do.
    void expect_no_unit() {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        auto units = client_->list("capsul-tool-*.service");
        while (!units.empty() && std::chrono::steady_clock::now() < deadline) {
            EXPECT_EQ(units.front().active_state, "inactive") << units.front().name;
            std::this_thread::sleep_for(5ms);
            units = client_->list("capsul-tool-*.service");
        }
        EXPECT_TRUE(units.empty()) << units.front().name << " is still there";
    }

    ErrorCode refusal(const ToolRun& run, const SandboxedTool::Cancelled& cancelled = {}) {
        try {
            static_cast<void>(tool_->run(run, {}, cancelled));
        } catch (const Error& error) {
            EXPECT_EQ(left(), std::set<std::string>());
            expect_no_unit();
            return error.code();
        }
        ADD_FAILURE() << "it ended well";
        return ErrorCode::internal;
    }

    test::TemporaryFolder base_;
    Paths paths_{base_ / "data", base_ / "state", base_ / "config", base_ / "units", base_ / "run"};
    fs::path programs_ = base_ / "programs";
    std::optional<test::FakeSystemd> systemd_;
    std::optional<SystemdClient> client_;
    std::optional<SandboxedTool> tool_;
};

TEST_F(SandboxedToolTest, GivesBothOutputsAndTheStatus) {
    const ProcessResult good = tool_->run(shell("echo out; echo err >&2"));
    EXPECT_EQ(good.status, 0);
    EXPECT_EQ(good.out, "out\n");
    EXPECT_EQ(good.err, "err\n");
    EXPECT_EQ(tool_->run(shell("exit 3")).status, 3);
    EXPECT_EQ(tool_->run(shell("kill -SEGV $$")).status, 128 + SIGSEGV);
    EXPECT_EQ(left(), std::set<std::string>());
    expect_no_unit(); // nor does systemd remember a failed one
}

TEST_F(SandboxedToolTest, HandsEveryByteOfAnArgumentOn) {
    const std::string hostile = R"(a "b" 'c' \d $HOME ${HOME} %h %% ; { "driver": null })";
    ToolRun run = shell("printf %s \"$1\"");
    run.argv.insert(run.argv.end(), {"sh", hostile});
    EXPECT_EQ(tool_->run(run).out, hostile);
}

TEST_F(SandboxedToolTest, TellsOfOutputAsItComes) {
    std::atomic<bool> told = false;
    std::atomic<bool> go_on = false;
    const fs::path flag = base_ / "flag";
    std::jthread run([&] {
        static_cast<void>(
            tool_->run(shell(fmt::format("echo begun; until [ -e {} ]; do sleep 0.01; done", flag.string())),
                       [&](std::string_view) { told = true; }));
        EXPECT_TRUE(go_on);
    });
    for (int i = 0; i < 6000 && !told; ++i) {
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_TRUE(told);
    go_on = true;
    std::ofstream(flag) << "";
}

TEST_F(SandboxedToolTest, KeepsAMebibyteOfWhatNeverEnds) {
    const ProcessResult result = tool_->run(shell("head -c 5000000 /dev/zero; echo end >&2"));
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out.size(), std::size_t{1} << 20U);
    EXPECT_EQ(result.err, "end\n");
}

TEST_F(SandboxedToolTest, EndsWhatTakesTooLong) {
    ToolRun run = shell("sleep 1000");
    run.limits.time = 1s;
    EXPECT_EQ(refusal(run), ErrorCode::timeout);
}

TEST_F(SandboxedToolTest, EndsWithTheOperationThatWantsIt) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(refusal(shell("sleep 1000"), [] { return true; }), ErrorCode::unreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 20s);
}

TEST_F(SandboxedToolTest, LimitsWhatIsWritten) {
    ToolRun run = shell(fmt::format("exec head -c 5000000 /dev/zero >{}/file", base_.path().string()));
    run.writable = {base_ / "file"};
    EXPECT_EQ(tool_->run(run).status, 128 + SIGXFSZ);
    EXPECT_EQ(fs::file_size(base_ / "file"), std::size_t{1} << 20U);
}

TEST_F(SandboxedToolTest, WritesToAFileThatIsNewOnly) {
    ToolRun run = shell("true");
    run.writable = {base_ / "file"};
    EXPECT_EQ(tool_->run(run).status, 0);
    EXPECT_EQ(fs::status(base_ / "file").permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_THROW(static_cast<void>(tool_->run(run)), Error) << "it is there";
    fs::create_symlink("/nowhere", base_ / "link");
    run.writable = {base_ / "link"};
    EXPECT_THROW(static_cast<void>(tool_->run(run)), Error);
}

TEST_F(SandboxedToolTest, GivesAProgramWithManyThreadsOneArena) {
    ToolRun run = shell("echo $MALLOC_ARENA_MAX");
    EXPECT_EQ(tool_->run(run).out, "\n");
    run.environment = {"MALLOC_ARENA_MAX=1"};
    EXPECT_EQ(tool_->run(run).out, "1\n");
}

TEST_F(SandboxedToolTest, LimitsMemory) {
    ToolRun run = shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    run.limits.memory_bytes = std::uint64_t{100} << 20U;
    EXPECT_NE(tool_->run(run).status, 0);
}

TEST_F(SandboxedToolTest, SaysWhenTheSandboxIsNotThere) {
    replace_file(programs_ / "capsul-run", "#!/bin/sh\nexit 78\n", 0755);
    EXPECT_EQ(refusal(shell("true")), ErrorCode::not_capable);
}

TEST_F(SandboxedToolTest, SaysWhenItCannotBeRunAtAll) {
    fs::remove(programs_ / "capsul-run");
    EXPECT_EQ(refusal(shell("true")), ErrorCode::not_capable);
}

TEST_F(SandboxedToolTest, SweepsWhatACrashLeft) {
    const std::string unit = tool_unit_name(Uuid::make());
    ToolRun run = shell("sleep 1000");
    const UserUnits units(paths_);
    units.write(unit, tool_unit(run, {programs_, paths_.data, "/dev/null", "/dev/null"}));
    std::jthread before([&] { client_->start(unit, 60s); });
    while (client_->status(unit).main_pid == 0) {
        std::this_thread::sleep_for(5ms);
    }
    std::ofstream(units.file("capsul-vm-web.service")) << "not ours";
    tool_->sweep();
    EXPECT_EQ(left(), std::set<std::string>{"capsul-vm-web.service"});
    EXPECT_EQ(client_->status(unit).active_state, "inactive");
}

TEST_F(SandboxedToolTest, RunsManyAtOnce) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
        threads.emplace_back([this, i] {
            EXPECT_EQ(tool_->run(shell(fmt::format("echo {}", i))).out, fmt::format("{}\n", i));
        });
    }
    threads.clear();
    EXPECT_EQ(left(), std::set<std::string>());
}

} // namespace
} // namespace capsul
