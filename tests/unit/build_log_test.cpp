#include "daemon/build_log.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

constexpr const char* beginning =
    "I: amd64 is the native architecture\n"
    "I: running apt-get update...\n"
    "Get:1 http://deb.debian.org/debian bookworm InRelease [151 kB]\n"
    "I: downloading packages with apt...\n"
    "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.\n"
    "Get:1 http://deb.debian.org/debian bookworm/main amd64 base-files amd64 12 [70 kB]\n";

BuildLog log_of(const std::string& text) {
    BuildLog log;
    log.add(text);
    return log;
}

TEST(BuildLog, TellsTheStageAndHowFarItIs) {
    EXPECT_EQ(log_of("").stage(), "starting");
    EXPECT_EQ(log_of("").percent(), 0);
    BuildLog log = log_of(beginning);
    EXPECT_EQ(log.stage(), "downloading the essential packages");
    const int half = log.percent();
    log.add("Get:2 http://deb.debian.org/debian bookworm/main amd64 dash amd64 12 [70 kB]\n");
    EXPECT_GT(log.percent(), half);
    log.add("I: installing remaining packages inside the chroot...\n"
            "0 upgraded, 200 newly installed, 0 to remove and 0 not upgraded.\n");
    const int installing = log.percent();
    for (int package = 0; package < 200; ++package) {
        log.add("Get:1 x\nUnpacking x (1) ...\nSetting up x (1) ...\n");
    }
    EXPECT_GT(log.percent(), installing + 50);
    EXPECT_LT(log.percent(), 100);
    log.add("capsul-build: writing the image\n");
    EXPECT_EQ(log.stage(), "writing the image");
    log.add("capsul-build: done\n");
    EXPECT_EQ(log.percent(), 100);
}

TEST(BuildLog, NeverGoesBeyondItsStage) {
    BuildLog log = log_of(beginning);
    for (int line = 0; line < 1000; ++line) {
        log.add("Get:3 more\n");
    }
    EXPECT_LE(log.percent(), 10);
}

TEST(BuildLog, TakesTheTextInWhateverPieces) {
    BuildLog log;
    for (const char c : std::string(beginning)) {
        log.add({&c, 1});
    }
    EXPECT_EQ(log.stage(), log_of(beginning).stage());
    EXPECT_EQ(log.percent(), log_of(beginning).percent());
}

TEST(BuildLog, TellsTheFirstError) {
    EXPECT_EQ(log_of("Reading package lists...\nE: Unable to locate package nonsense\n"
                     "E: env --chdir=/x apt-get --yes install failed\n")
                  .last_words(),
              "Unable to locate package nonsense");
}

TEST(BuildLog, WithoutAnErrorTellsTheLastLine) {
    EXPECT_EQ(log_of("one\nmke2fs: no space\n\n").last_words(), "mke2fs: no space");
    EXPECT_EQ(log_of("one\ncut sho").last_words(), "cut sho");
    EXPECT_EQ(log_of("").last_words(), "");
}

TEST(BuildLog, KnowsThatADiskWasFull) {
    EXPECT_TRUE(log_of("dpkg: cannot write: No space left on device\nE: dpkg failed\n").ran_out_of_space());
    EXPECT_FALSE(log_of("E: dpkg failed\n").ran_out_of_space());
}

TEST(BuildLog, KeepsNeitherControlCharactersNorEndlessLines) {
    const std::string words = log_of("E: \x1b[31mred\tend " + std::string(100'000, 'x') + "\n").last_words();
    EXPECT_EQ(words.find('\x1b'), std::string::npos);
    EXPECT_LE(words.size(), 310U);
}

} // namespace
} // namespace capsul
