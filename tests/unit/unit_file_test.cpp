#include "daemon/unit_file.hpp"
#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(QuoteExecWord, LeavesAPlainWordAlone) {
    EXPECT_EQ(quote_exec_word("-m=1G,x:y"), "-m=1G,x:y");
}

TEST(QuoteExecWord, QuotesWhatSystemdWouldRead) {
    EXPECT_EQ(quote_exec_word("a b"), R"("a b")");
    EXPECT_EQ(quote_exec_word(""), R"("")");
    EXPECT_EQ(quote_exec_word("50% of $HOME"), R"("50%% of $$HOME")");
    EXPECT_EQ(quote_exec_word(R"(say "\hi")"), R"("say \"\\hi\"")");
    EXPECT_EQ(quote_exec_word(";"), R"(";")");
}

TEST(QuoteExecWord, NeverLetsALineEndThrough) {
    EXPECT_EQ(quote_exec_word("x\nExecStartPre=/bin/evil"), R"("x\x0aExecStartPre=/bin/evil")");
}

TEST(QuoteExecWord, RefusesNulAndBrokenUtf8) {
    EXPECT_THROW(static_cast<void>(quote_exec_word(std::string_view("a\0b", 3))), Error);
    EXPECT_THROW(static_cast<void>(quote_exec_word("\xff")), Error);
}

TEST(UnitPath, RefusesWhatAUnitCannotHold) {
    EXPECT_EQ(unit_path("/home/a_b/.local-x/v+1@"), "/home/a_b/.local-x/v+1@");
    for (const char* bad : {"relative", "/a b", "/a:b", "/a%h", "/a\nb", "/a,b"}) {
        EXPECT_THROW(static_cast<void>(unit_path(bad)), Error) << bad;
    }
}

TEST(OptionalBindWord, HoldsAnyNameOfAFile) {
    EXPECT_EQ(optional_bind_word("/a"), R"("-/a")");
    EXPECT_EQ(optional_bind_word("/a b:c,%h'\"\\"), R"("-/a b:c,%%h'\"\\")");
    EXPECT_EQ(optional_bind_word("/ä"), R"("-/ä")");
    for (const char* bad : {"", "a", "/a\nb", "/a\tb", "/\x7f", "/\xff"}) {
        EXPECT_THROW(static_cast<void>(optional_bind_word(bad)), Error) << bad;
    }
}

TEST(Seal, TellsWholeFromEditedFromTorn) {
    const std::string text = seal("[Service]\nExecStart=/bin/true\n");
    EXPECT_EQ(check_seal(text), SealState::whole);
    std::string edited = text;
    edited.replace(edited.find("true"), 4, "fals");
    EXPECT_EQ(check_seal(edited), SealState::edited);
    EXPECT_EQ(check_seal(text.substr(0, text.size() / 2)), SealState::torn);
    EXPECT_EQ(check_seal(""), SealState::torn);
    EXPECT_EQ(check_seal(text + "ExecStart=/bin/more\n"), SealState::torn);
}

} // namespace
} // namespace capsul
