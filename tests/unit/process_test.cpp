#include "daemon/process.hpp"

#include "lib/error.hpp"
#include "tests/temporary_folder.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

namespace capsul {
namespace {

ErrorCode code_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "no Error was thrown";
    return ErrorCode::internal;
}

ProcessResult shell(const std::string& script, const ProcessLimits& limits = {}) {
    return run_process({"sh", "-c", script}, 30s, limits);
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

bool has_children() {
    return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD;
}

std::string read_to_end(int fd) {
    std::string all;
    std::array<char, 4096> chunk{};
    ssize_t got = 0;
    while ((got = ::read(fd, chunk.data(), chunk.size())) > 0) {
        all.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return all;
}

TEST(Process, KeepsOutputsApart) {
    const ProcessResult result = shell("echo out; echo err >&2");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, "out\n");
    EXPECT_EQ(result.err, "err\n");
}

TEST(Process, GivesTheExitCode) {
    EXPECT_EQ(shell("exit 42").status, 42);
}

TEST(Process, GivesASignalAs128More) {
    EXPECT_EQ(shell("kill -TERM $$").status, 128 + SIGTERM);
}

TEST(Process, PassesArgumentsUntouched) {
    const std::string hostile = "a b\n'\"$HOME`id`\\%s;*";
    EXPECT_EQ(run_process({"printf", "%s", hostile}, 30s).out, hostile);
}

TEST(Process, NamesAMissingProgramInTheHint) {
    try {
        (void)run_process({"no-such-program-here"}, 1s);
        FAIL() << "it ran";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_capable);
        EXPECT_NE(error.hint().find("no-such-program-here"), std::string::npos);
    }
}

TEST(Process, RefusesARelativePath) {
    EXPECT_EQ(code_of([] { (void)run_process({"./sh"}, 1s); }), ErrorCode::not_capable);
    EXPECT_EQ(code_of([] { (void)run_process({"../bin/sh"}, 1s); }), ErrorCode::not_capable);
}

TEST(Process, IgnoresTheCallersPathAndEnvironment) {
    ::setenv("CAPSUL_CANARY", "secret", 1);
    const ProcessResult result = run_process({"env"}, 30s);
    ::unsetenv("CAPSUL_CANARY");
    EXPECT_EQ(result.out, "LC_ALL=C.UTF-8\nMALLOC_ARENA_MAX=1\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
}

TEST(Process, HasNoInput) {
    EXPECT_EQ(run_process({"cat"}, 30s).out, "");
}

TEST(Process, InheritsNoDescriptor) {
    const int leaky = ::dup(STDERR_FILENO); // without O_CLOEXEC
    const ProcessResult result =
        shell("for f in /proc/self/fd/*; do [ -e \"$f\" ] && echo \"${f##*/}\"; done");
    ::close(leaky);
    EXPECT_EQ(result.out.find(std::to_string(leaky) + "\n"), std::string::npos) << result.out;
}

TEST(Process, RestoresDefaultSignalHandling) {
    auto* const before = std::signal(SIGPIPE, SIG_IGN);
    const ProcessResult result = shell("grep ^SigIgn: /proc/self/status");
    std::signal(SIGPIPE, before);
    EXPECT_EQ(result.out, "SigIgn:\t0000000000000000\n");
}

TEST(Process, CutsEachOutputAtOneMebibyteWithoutBlocking) {
    const ProcessResult result = shell("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out.size(), std::size_t{1} << 20);
    EXPECT_EQ(result.err.size(), std::size_t{1} << 20);
}

TEST(Process, KillsTheChildAndItsChildrenAtTheLimit) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(code_of([] {
                  (void)run_process({"sh", "-c", "sleep 600 & sleep 600"}, 100ms);
              }),
              ErrorCode::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    EXPECT_FALSE(has_children());
}

TEST(Process, StopsAProgramThatWritesWithoutEnd) {
    EXPECT_EQ(code_of([] { (void)run_process({"yes"}, 100ms); }), ErrorCode::timeout);
    EXPECT_EQ(shell("yes & sleep 0.1").status, 0);
}

TEST(Process, DoesNotWaitForAGrandchildThatHoldsThePipe) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(shell("sleep 600 & echo done").out, "done\n");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST(Process, LimitsTheSizeOfAFile) {
    const test::TemporaryFolder folder;
    const ProcessResult result =
        run_process({"dd", "if=/dev/zero", "of=" + (folder / "f").string(), "bs=4096", "count=100"}, 30s,
                    {.memory_bytes = {}, .cpu_seconds = {}, .file_bytes = 8192});
    EXPECT_EQ(result.status, 128 + SIGXFSZ);
    EXPECT_EQ(std::filesystem::file_size(folder / "f"), 8192U);
}

TEST(Process, LimitsMemoryAndProcessorTime) {
    const ProcessResult result = shell("ulimit -v; ulimit -t; ulimit -c",
                                       {.memory_bytes = 1U << 30, .cpu_seconds = 7, .file_bytes = {}});
    EXPECT_EQ(result.out, "1048576\n7\n0\n");
}

TEST(Process, LeaksNoDescriptorAndNoZombie) {
    (void)shell("true");
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 20; ++i) {
        (void)shell("exit 3");
        EXPECT_EQ(code_of([] { (void)run_process({"nothing-like-it"}, 1s); }), ErrorCode::not_capable);
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(has_children());
}

TEST(Process, RunsFromManyThreadsAtOnce) {
    std::vector<std::thread> threads;
    std::array<std::string, 8> outputs;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        threads.emplace_back([&outputs, i] { outputs.at(i) = shell("echo " + std::to_string(i)).out; });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        EXPECT_EQ(outputs.at(i), std::to_string(i) + "\n");
    }
}

TEST(ChildProcess, GivesItsOutput) {
    ChildProcess child({"echo", "hello"});
    const UniqueFd output = child.take_output();
    EXPECT_EQ(read_to_end(output.get()), "hello\n");
}

TEST(ChildProcess, IsKilledAndReapedWithItsChildren) {
    UniqueFd output;
    {
        ChildProcess child({"sh", "-c", "sleep 600 & echo ready; sleep 600"});
        output = child.take_output();
        std::array<char, 6> line{};
        ASSERT_EQ(::read(output.get(), line.data(), line.size()), 6);
    }
    EXPECT_EQ(read_to_end(output.get()), ""); // ends only when no process holds the pipe
    EXPECT_FALSE(has_children());
}

} // namespace
} // namespace capsul
