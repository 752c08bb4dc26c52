#include "cli/progress.hpp"

#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <regex>
#include <unistd.h>

namespace capsul::cli {
namespace {

/// What is written to standard error's place while `work` runs, which gets a function that waits until
/// something is.
template <class Work>
std::string told(ProgressMode mode, Work work) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_NONBLOCK), 0);
    const UniqueFd source(ends[0]);
    const UniqueFd sink(ends[1]);
    {
        Progress progress(mode, sink.get());
        work(progress, [&] {
            pollfd something{source.get(), POLLIN, 0};
            EXPECT_EQ(::poll(&something, 1, 60'000), 1);
        });
    }
    std::string text(65536, '\0');
    text.resize(
        static_cast<std::size_t>(std::max<ssize_t>(::read(source.get(), text.data(), text.size()), 0)));
    return std::regex_replace(text, std::regex(R"(\(\d+ s\))"),
                              "(N s)"); // how slow this machine is does not matter
}

TEST(Progress, SaysNothingAboutWhatIsQuick) {
    for (const ProgressMode mode : {ProgressMode::none, ProgressMode::plain, ProgressMode::tty}) {
        EXPECT_EQ(told(mode, [](Progress& progress, const auto&) { progress.show("vm web", "booting", 5); }),
                  "");
    }
}

TEST(Progress, PrintsOneLineForEachNewMessage) {
    const std::string text = told(ProgressMode::plain, [](Progress& progress, const auto& await_words) {
        progress.show("vm web", "booting", std::nullopt);
        await_words();
        progress.show("vm web", "booting", std::nullopt);
        progress.show("vm web", "waiting\x1b", std::nullopt);
    });
    EXPECT_EQ(text, "vm web: booting (N s)\nvm web: waiting\\x1b (N s)\n");
}

TEST(Progress, RedrawsAndRemovesItsLine) {
    const std::string text = told(ProgressMode::tty, [](Progress& progress, const auto& await_words) {
        progress.show("vm web", "copying", 40);
        await_words();
    });
    EXPECT_TRUE(text.starts_with("\rvm web: copying 40 % (N s)\x1b[K")) << text;
    EXPECT_TRUE(text.ends_with("\r\x1b[K")) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(Progress, PrintsOtherLinesWhole) {
    EXPECT_EQ(
        told(ProgressMode::none, [](Progress& progress, const auto&) { progress.say("vm web: stopped"); }),
        "vm web: stopped\n");
}

} // namespace
} // namespace capsul::cli
