#include "cli/output.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

struct Thing {
    std::string name;
    std::string reason;
    static constexpr auto fields() {
        return field_list(required("name", &Thing::name), required("reason", &Thing::reason));
    }
};

constexpr std::array<Column<Thing>, 4> columns{{
    {"name", [](const Thing& thing) { return thing.name; }},
    {"size", [](const Thing&) { return std::string("1"); }, Shown::wide, true, nullptr,
     [](const Thing&) { return std::string("1024"); }},
    {"secret", [](const Thing&) { return std::string("s"); }, Shown::on_request},
    {"reason", [](const Thing& thing) { return thing.reason; }, Shown::filled},
}};

OutputOptions as(Format format) {
    OutputOptions options;
    options.format = format;
    return options;
}

OutputOptions on_terminal(Format format) {
    OutputOptions options = as(format);
    options.to_terminal = true;
    return options;
}

/// What print_list writes.
std::string printed(const std::vector<Thing>& things, OutputOptions options) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const UniqueFd source(ends[0]);
    {
        const UniqueFd sink(ends[1]);
        Output out(sink.get());
        print_list<Thing>(out, options, things, columns);
        out.finish();
    }
    std::string text(65536, '\0');
    text.resize(
        static_cast<std::size_t>(std::max<ssize_t>(::read(source.get(), text.data(), text.size()), 0)));
    return text;
}

TEST(PrintList, ShowsAColumnThatIsFilledOnlyWhenItIs) {
    EXPECT_EQ(printed({{"a", ""}}, {}), "NAME\na\n");
    EXPECT_EQ(printed({{"a", ""}, {"b", "why"}}, {}), "NAME  REASON\na\nb     why\n");
}

TEST(PrintList, WideAndCsvHaveAllButThoseOnRequest) {
    EXPECT_EQ(printed({{"a", ""}}, as(Format::wide)), "NAME  SIZE  REASON\na        1\n");
    EXPECT_EQ(printed({{"a", ""}}, as(Format::csv)), "name,size,reason\na,1024,\n"); // a plain number
}

TEST(PrintList, TakesTheColumnsAskedForInTheirOrder) {
    EXPECT_EQ(printed({{"a", ""}}, {.format = Format::csv, .columns = {"secret", "name"}}),
              "secret,name\ns,a\n");
}

TEST(PrintList, RefusesAnUnknownColumnAndListsThem) {
    try {
        printed({}, {.columns = {"nmae"}});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(exit_code(error.code()), 2);
        EXPECT_NE(std::string(error.what()).find("nmae"), std::string::npos);
        EXPECT_EQ(error.hint(), "columns are name, size, secret, reason");
    }
}

TEST(PrintList, GivesJsonArraysLinesAndNames) {
    EXPECT_EQ(printed({}, as(Format::json)), "[]\n");
    EXPECT_EQ(printed({{"a", "b"}}, as(Format::json)),
              "[\n  {\n    \"name\": \"a\",\n    \"reason\": \"b\"\n  }\n]\n");
    EXPECT_EQ(printed({{"a", ""}, {"b", ""}}, as(Format::jsonl)),
              "{\"name\":\"a\",\"reason\":\"\"}\n{\"name\":\"b\",\"reason\":\"\"}\n");
    EXPECT_EQ(printed({{"a", ""}, {"b", ""}}, as(Format::name)), "a\nb\n");
}

TEST(PrintList, LeavesBytesAloneInAPipeAndDefusesThemOnATerminal) {
    const Thing evil{"\x1b]0;x\a", ""};
    EXPECT_EQ(printed({evil}, as(Format::name)), evil.name + '\n');
    EXPECT_EQ(printed({evil}, on_terminal(Format::name)), "\\x1b]0;x\\x07\n");
    const std::string json = printed({{"\xc2\x9b", ""}}, on_terminal(Format::jsonl));
    EXPECT_NE(json.find("\\u009b"), std::string::npos) << json;
}

TEST(Output, TellsThatADiskIsFull) {
    const UniqueFd full = open_file("/dev/full", O_WRONLY);
    Output out(full.get());
    out.write("x");
    EXPECT_THROW(out.finish(), Error);
    EXPECT_FALSE(out.reader_gone());
}

TEST(Output, IsQuietWhenTheReaderLeaves) {
    std::signal(SIGPIPE, SIG_IGN); // NOLINT(*-old-style-cast)
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    ::close(ends[0]);
    const UniqueFd sink(ends[1]);
    Output out(sink.get());
    out.write("x");
    out.finish();
    EXPECT_TRUE(out.reader_gone());
}

TEST(RenderLines, AlignsValuesAndLeavesOutEmptyOnes) {
    EXPECT_EQ(render_lines({{"Name", "web"}, {"A long label", ""}, {"State", "run\nning"}}, {}),
              "Name:   web\nState:  run\\x0aning\n");
}

} // namespace
} // namespace capsul::cli
