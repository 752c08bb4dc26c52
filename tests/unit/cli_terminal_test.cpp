#include "cli/terminal.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

TEST(Printable, KeepsOrdinaryText) {
    EXPECT_EQ(printable("plain, Grüße, 日本, 🦦"), "plain, Grüße, 日本, 🦦");
}

TEST(Printable, EscapesControlCharacters) {
    EXPECT_EQ(printable(std::string_view("a\0b\x1b[2J\r\n\t\x7f", 11)), R"(a\x00b\x1b[2J\x0d\x0a\x09\x7f)");
}

TEST(Printable, KeepsLinesWhenAsked) {
    EXPECT_EQ(printable("a\n\tb\r", true), "a\n\tb\\x0d");
}

TEST(Printable, EscapesWhatTerminalsTakeForEscape) {
    EXPECT_EQ(printable("\xc2\x9b"), R"(\u009b)");
}

TEST(Printable, EscapesWhatReordersLines) {
    EXPECT_EQ(printable("a\xe2\x80\xae"
                        "b"),
              R"(a\u202eb)");
}

TEST(Printable, EscapesBytesThatAreNotUtf8) {
    EXPECT_EQ(printable("\xff"), R"(\xff)");
    EXPECT_EQ(printable("\xc3"), R"(\xc3)");         // cut off
    EXPECT_EQ(printable("\xc0\x80"), R"(\xc0\x80)"); // overlong
    EXPECT_EQ(printable("\xe0\x80\x80"), R"(\xe0\x80\x80)");
    EXPECT_EQ(printable("\xed\xa0\x80"), R"(\xed\xa0\x80)"); // a surrogate
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), R"(\xf4\x90\x80\x80)");
}

std::string filtered(const std::vector<std::string>& pieces) {
    LogFilter filter;
    std::string out;
    for (const std::string& piece : pieces) {
        out += filter.filter(piece);
    }
    return out + filter.finish();
}

TEST(LogFilter, KeepsColorsThatEnd) {
    EXPECT_EQ(filtered({"[ \x1b[0;32mOK\x1b[0m ]\n\x1b[1mx\x1b[m\n"}),
              "[ \x1b[0;32mOK\x1b[0m ]\n\x1b[1mx\x1b[m\n");
}

TEST(LogFilter, EndsAColorWithItsLine) {
    EXPECT_EQ(filtered({"\x1b[8mlogin\nand on\n"}), "\x1b[8mlogin\x1b[0m\nand on\n");
}

TEST(LogFilter, LeavesNoColorOnBetweenPieces) {
    EXPECT_EQ(filtered({"\x1b[1;8ma", "b\x1b[4m", "c\n", "d"}),
              "\x1b[1;8ma\x1b[0m\x1b[1;8mb\x1b[4m\x1b[0m\x1b[1;8m\x1b[4mc\x1b[0m\nd");
}

TEST(LogFilter, BoundsWhatItRemembers) {
    std::string many;
    for (int i = 0; i < 10'000; ++i) {
        many += "\x1b[31m";
    }
    LogFilter filter;
    static_cast<void>(filter.filter(many));
    EXPECT_LT(filter.filter("x").size(), 300U);
}

TEST(LogFilter, ShowsOtherSequences) {
    EXPECT_EQ(filtered({"\x1b[2J\x1b]0;title\a\x1bM"}), R"(\x1b[2J\x1b]0;title\x07\x1bM)");
}

TEST(LogFilter, SeesSequencesAndCharactersAcrossPieces) {
    EXPECT_EQ(filtered({"\x1b", "[3", "1mred", "\xc3", "\xbc"}), "\x1b[31mred\x1b[0m\x1b[31mü\x1b[0m");
    EXPECT_EQ(filtered({"\x1b", "[2", "J"}), R"(\x1b[2J)");
}

TEST(LogFilter, DropsCarriageReturns) {
    EXPECT_EQ(filtered({"a\r", "\nb\r\n"}), "a\nb\n");
}

TEST(LogFilter, DoesNotHoldBackForEver) {
    EXPECT_EQ(filtered({"\x1b[" + std::string(100, '1') + "m"}), R"(\x1b[)" + std::string(100, '1') + "m");
}

class ColorEnvironment : public testing::Test {
  protected:
    void SetUp() override {
        for (const char* name : {"NO_COLOR", "CLICOLOR_FORCE"}) {
            ::unsetenv(name); // NOLINT(concurrency-mt-unsafe)
        }
    }
    void TearDown() override { SetUp(); }
    static void set(const char* name, const char* value) {
        ::setenv(name, value, 1);
    } // NOLINT(concurrency-mt-unsafe)
};

TEST_F(ColorEnvironment, OptionGoesFirst) {
    set("NO_COLOR", "1");
    EXPECT_TRUE(use_color(Color::always, -1));
    set("CLICOLOR_FORCE", "1");
    EXPECT_FALSE(use_color(Color::never, -1));
}

TEST_F(ColorEnvironment, NoColorGoesBeforeForce) {
    set("CLICOLOR_FORCE", "1");
    EXPECT_TRUE(use_color(Color::automatic, -1));
    set("NO_COLOR", "1");
    EXPECT_FALSE(use_color(Color::automatic, -1));
}

TEST_F(ColorEnvironment, EmptyOrZeroIsUnset) {
    set("CLICOLOR_FORCE", "0");
    EXPECT_FALSE(use_color(Color::automatic, -1));
    set("NO_COLOR", "");
    set("CLICOLOR_FORCE", "1");
    EXPECT_TRUE(use_color(Color::automatic, -1));
}

} // namespace
} // namespace capsul::cli
