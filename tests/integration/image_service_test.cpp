#include "tests/integration/image_fixture.hpp"

#include <cstring>
#include <set>
#include <sys/mount.h>
#include <sys/stat.h>

namespace capsul {
namespace {

// What is taken

TEST_F(ImageServiceTest, KeepsAQcow2ByteForByte) {
    const std::string disk = slurp(make_filled_disk("a.qcow2", 3 * mib));
    const Image image = import("debian-12", disk);
    const fs::path file = service_->disk_path(*image.digest);
    EXPECT_EQ(slurp(file), disk);
    EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read);
    EXPECT_EQ(image.size, Bytes(3 * mib));
    EXPECT_GE(image.disk_usage.value_or(0), 3 * mib);
    EXPECT_EQ(file.filename(), "sha256-" + image.digest->hex() + ".qcow2");
    EXPECT_EQ(kept().size(), 2U) << "only the disk and the record";
}

TEST_F(ImageServiceTest, TakesCompressedVersion2AndExtendedL2) {
    EXPECT_NO_THROW(import("zlib", slurp(make_filled_disk("a", 2 * mib, {"-c"}))));
    EXPECT_NO_THROW(
        import("zstd", slurp(make_filled_disk("b", 2 * mib + 1, {"-c", "-o", "compression_type=zstd"}))));
    EXPECT_NO_THROW(import("v2", slurp(make_filled_disk("c", 2 * mib + 2, {"-o", "compat=0.10"}))));
    EXPECT_NO_THROW(import("l2", slurp(make_filled_disk("d", 2 * mib + 3, {"-o", "extended_l2=on"}))));
    EXPECT_NO_THROW(import("empty", slurp(make_disk("e"))));
    EXPECT_NO_THROW(import("small", slurp(make_filled_disk("f", 2 * mib + 4, {"-o", "cluster_size=512"}))));
}

TEST_F(ImageServiceTest, ConvertsRawSparsely) {
    std::string disk(64 * mib, '\0');
    disk.replace(8 * mib, 6, "middle");
    disk += "end"; // not a whole sector
    const Image image = import("raw", disk);
    EXPECT_EQ(image.size, Bytes(64 * mib + 512));
    EXPECT_EQ(operations_->list().back().percent, 100);
    EXPECT_LT(image.disk_usage.value_or(64 * mib), mib);
    qemu_img({"convert", "-f", "qcow2", "-O", "raw", service_->disk_path(*image.digest).string(),
              (work_ / "back").string()});
    disk.resize(64 * mib + 512);
    EXPECT_TRUE(slurp(work_ / "back") == disk);
}

TEST_F(ImageServiceTest, KeepsABootableImagesKernelAndInitrd) {
    std::string kernel(4096, '\0');
    kernel.replace(0x202, 4, "HdrS");
    ImageImport call = call_for("direct", slurp(make_disk("a")));
    call.kernel = send(kernel).id;
    call.initrd = send("070701 archive").id;
    call.cmdline = "root=LABEL=root";
    ASSERT_EQ(run(call).state, OperationState::done);
    const DirectKernel boot = service_->usable(call.name).boot.value();
    EXPECT_EQ(slurp(service_->kernel_path(boot.kernel)), kernel);
    EXPECT_EQ(slurp(service_->initrd_path(boot.initrd.value())), "070701 archive");
    EXPECT_EQ(boot.cmdline, "root=LABEL=root");
}

TEST_F(ImageServiceTest, SharesAFileBetweenNames) {
    const std::string disk = slurp(make_disk("a"));
    const Image first = import("one", disk);
    EXPECT_EQ(import("two", disk).digest, first.digest);
    EXPECT_EQ(kept().size(), 3U);
    remove(Name::parse("one"));
    EXPECT_TRUE(fs::exists(service_->disk_path(*first.digest)));
    remove(Name::parse("two"));
    EXPECT_TRUE(kept().empty());
}

TEST_F(ImageServiceTest, ImportsTheSameTwiceWithSuccessAndOtherContentNot) {
    const std::string disk = slurp(make_disk("a"));
    const Image first = import("debian-12", disk);
    const auto before = kept();
    EXPECT_EQ(import("debian-12", disk).imported, first.imported);
    EXPECT_EQ(kept(), before);
    try {
        import("debian-12", slurp(make_disk("b", {}, "32M")));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::exists);
    }
    EXPECT_EQ(kept(), before);
}

TEST_F(ImageServiceTest, MendsAnImageWhoseFileIsGone) {
    const std::string disk = slurp(make_disk("a"));
    const Image image = import("debian-12", disk);
    fs::remove(service_->disk_path(*image.digest));
    EXPECT_NE(service_->show(image.name).broken.value_or("").find("missing"), std::string::npos);
    try {
        static_cast<void>(service_->hold(image.name));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::verification);
        EXPECT_FALSE(error.hint().empty());
    }
    import("debian-12", disk);
    EXPECT_FALSE(service_->show(image.name).broken);
}

TEST_F(ImageServiceTest, TellsWhatHappenedAsEvents) {
    import("debian-12", slurp(make_disk("a")));
    remove(Name::parse("debian-12"));
    end();
    const std::string log = slurp(paths_.state / "events.ndjson");
    EXPECT_LT(log.find("image.imported"), log.find("image.removed"));
    EXPECT_NE(log.find("image.removed"), std::string::npos) << log;
    start();
}

// What is refused, leaving nothing

TEST_F(ImageServiceTest, RefusesABackingFile) {
    const fs::path secret = work_ / "secret";
    std::ofstream(secret) << std::string(mib, 's');
    expect_file_refused(make_disk("a", {"-b", secret.string(), "-F", "raw"}), ErrorCode::invalid,
                        "backing file");
    expect_file_refused(make_disk("b", {"-u", "-b", "nbd://127.0.0.1:1/x", "-F", "raw"}), ErrorCode::invalid,
                        "backing file");
    const fs::path loop = make_disk("c");
    qemu_img({"rebase", "-u", "-b", loop.string(), "-F", "qcow2", loop.string()});
    expect_file_refused(loop, ErrorCode::invalid, "backing file");
}

TEST_F(ImageServiceTest, RefusesAnExternalDataFile) {
    expect_file_refused(make_disk("a", {"-o", "data_file=" + (work_ / "data").string()}), ErrorCode::invalid,
                        "another file");
}

TEST_F(ImageServiceTest, RefusesEncryption) {
    const fs::path luks = make_disk("a"); // a real one costs seconds of key stretching
    patch(luks, 32, "\0\0\0\2"s);
    expect_file_refused(luks, ErrorCode::invalid, "encrypted");
    expect_file_refused(make_disk("b", {"--object", "secret,id=s,data=abc123", "-o",
                                        "compat=0.10,encrypt.format=aes,encrypt.key-secret=s"}),
                        ErrorCode::invalid, "encrypted");
}

TEST_F(ImageServiceTest, RefusesDirtyCorruptAndUnknownFeatureBits) {
    for (const auto& [bits, words] :
         std::map<std::string, std::string>{{"\0\0\0\0\0\0\0\1"s, "dirty"},
                                            {"\0\0\0\0\0\0\0\2"s, "corrupt"},
                                            {"\0\0\0\0\0\0\0\x40"s, "does not know"}}) {
        const fs::path file = make_disk("a");
        patch(file, 72, bits);
        expect_file_refused(file, ErrorCode::invalid, words);
    }
}

TEST_F(ImageServiceTest, RefusesADiskLargerThanAllowed) {
    expect_file_refused(make_disk("a", {}, "8T"), ErrorCode::too_large, "8.0 TiB");
    config_.max_size = Bytes(mib);
    expect_refused(std::string(mib + 1, 'x'), ErrorCode::too_large, "1.0 MiB");
    EXPECT_NO_THROW(import("fits", random_bytes(mib)));
}

TEST_F(ImageServiceTest, RefusesEmptyAndTinyFiles) {
    expect_refused("", ErrorCode::invalid, "empty");
    expect_refused("#!/bin/sh\n", ErrorCode::invalid, "no disk");
    expect_refused("QFI\xfb", ErrorCode::verification, "damaged");
    EXPECT_NO_THROW(import("sector", std::string(512, 'x')));
}

TEST_F(ImageServiceTest, RefusesTruncatedFiles) {
    for (const auto& options : std::vector<std::vector<std::string>>{{}, {"-c"}, {"-o", "compat=0.10"}}) {
        const std::string whole = slurp(make_filled_disk("a", 4 * mib, options));
        constexpr std::size_t cluster = 65536;
        for (std::size_t length = 200; length + cluster <= whole.size(); length += 5 * cluster + 1000) {
            expect_refused(whole.substr(0, length), ErrorCode::verification, "damaged");
        }
        expect_refused(whole.substr(0, whole.size() - cluster - 1), ErrorCode::verification, "damaged");
    }
}

TEST_F(ImageServiceTest, RefusesTablesAndClustersOutsideTheFile) {
    const fs::path file = make_filled_disk("a", mib);
    const std::string whole = slurp(file);
    const auto changed = [&](std::size_t offset, const std::string& bytes) {
        std::string disk = whole;
        return disk.replace(offset, bytes.size(), bytes);
    };
    expect_refused(changed(40, "\0\0\0\7\0\0\0\0"s), ErrorCode::verification, "L1 table");
    expect_refused(changed(48, "\0\0\0\7\0\0\0\0"s), ErrorCode::verification, "refcount");
    expect_refused(changed(60, "\xff\xff\xff\xff"s), ErrorCode::invalid, "snapshots");
    // The first L1 entry leads to an L2 table far behind the end, then to none that is one.
    std::uint64_t l1 = 0;
    for (std::size_t i = 40; i < 48; ++i) {
        l1 = l1 << 8U | static_cast<unsigned char>(whole[i]);
    }
    expect_refused(changed(l1, "\x80\0\x7f\0\0\0\0\0"s), ErrorCode::verification, "damaged");
    expect_refused(changed(l1, "\x80\0\0\0\0\0\0\0"s), ErrorCode::verification, "damaged");
    expect_refused(changed(l1, "\x80\0\0\0\0\0\2\0"s), ErrorCode::verification, "damaged");
}

TEST_F(ImageServiceTest, SurvivesRandomDamageOfTheMetadata) {
    const std::string whole = slurp(make_filled_disk("a", mib, {"-o", "cluster_size=4096"}));
    std::mt19937 random(7);
    for (int round = 0; round < 30; ++round) {
        std::string disk = whole;
        for (int byte = 0; byte < 3; ++byte) {
            disk[random() % 5 * 4096 + random() % 64] = static_cast<char>(random());
        }
        const auto before = kept();
        if (run(call_for("damaged", disk)).state == OperationState::done) {
            remove(Name::parse("damaged"));
        }
        EXPECT_EQ(kept(), before);
    }
}

TEST_F(ImageServiceTest, RefusesOtherContentThanTheDigestSays) {
    const auto before = kept();
    for (const UploadFile& call :
         {UploadFile{std::string(64, 'a'), {}}, UploadFile{{}, std::string(128, 'b')}}) {
        try {
            send("some content", call);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::verification);
        }
        EXPECT_EQ(kept(), before);
    }
    EXPECT_THROW(send("x", UploadFile{"abc", {}}), Error);
    EXPECT_THROW(send("x", UploadFile{std::string(64, 'g'), {}}), Error);
    EXPECT_EQ(kept(), before);
}

TEST_F(ImageServiceTest, AcceptsDigestsInEitherCase) {
    const Upload upload =
        send("abc", UploadFile{"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
                               "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                               "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"});
    EXPECT_EQ(upload.size, 3U);
    EXPECT_EQ(upload.digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(ImageServiceTest, LeavesNothingOfAnUploadThatIsDropped) {
    {
        const UploadResponse response = service_->upload({});
        response.write("half of it");
        EXPECT_EQ(kept().size(), 1U);
    }
    EXPECT_TRUE(kept().empty());
}

TEST_F(ImageServiceTest, RefusesBadBootFilesAndConsumesTheUploads) {
    const auto before = kept();
    const auto refused = [&](const std::function<void(ImageImport&)>& change) {
        ImageImport call = call_for("direct", slurp(make_disk("a")));
        change(call);
        std::optional<ErrorCode> code;
        try {
            const Operation operation = run(call);
            code = operation.error ? std::optional(operation.error->to_error().code()) : std::nullopt;
        } catch (const Error& error) {
            code = error.code();
        }
        EXPECT_EQ(kept(), before);
        return code;
    };
    const std::string kernel = "\x7f"
                               "ELF kernel";
    EXPECT_EQ(refused([&](auto& call) { call.kernel = send("no kernel").id; }), ErrorCode::invalid);
    EXPECT_EQ(refused([&](auto& call) { call.initrd = send("070701").id; }), ErrorCode::invalid);
    EXPECT_EQ(refused([&](auto& call) { call.cmdline = "quiet"; }), ErrorCode::invalid);
    EXPECT_EQ(refused([&](auto& call) {
                  call.kernel = send(kernel).id;
                  call.initrd = send("hello").id;
              }),
              ErrorCode::invalid);
    EXPECT_EQ(refused([&](auto& call) {
                  call.kernel = send(kernel).id;
                  call.cmdline = "quiet\ninit=/bin/sh";
              }),
              ErrorCode::invalid);
    EXPECT_EQ(refused([&](auto& call) { call.kernel = Uuid::make(); }), ErrorCode::not_found);
    EXPECT_EQ(refused([&](auto& call) { call.kernel = call.disk; }), ErrorCode::not_found);
}

TEST_F(ImageServiceTest, LetsAnUploadServeOneImportOnly) {
    const ImageImport call = call_for("one", slurp(make_disk("a")));
    ImageImport again = call;
    again.name = Name::parse("two");
    EXPECT_EQ(run(call).state, OperationState::done);
    EXPECT_THROW(service_->import(again), Error);
}

TEST_F(ImageServiceTest, ForgetsUploadsAfterAnHour) {
    send("old");
    const fs::path old = *fs::directory_iterator(paths_.uploads());
    fs::last_write_time(old, fs::file_time_type::clock::now() - 61min);
    send("new");
    EXPECT_FALSE(fs::exists(old));
    EXPECT_EQ(kept().size(), 1U);
}

class FullDisk : public ImageServiceTest {
  protected:
    void fill(const char* size) {
        end();
        if (::mount("tmpfs", paths_.data.c_str(), "tmpfs", 0, fmt::format("size={}", size).c_str()) != 0) {
            GTEST_SKIP() << "a small tmpfs cannot be mounted here: " << std::strerror(errno);
        }
        mounted_ = true;
        start();
    }
    void TearDown() override {
        end();
        if (mounted_) {
            ::umount(paths_.data.c_str());
        }
        fs::remove_all(base_);
    }
    bool mounted_ = false;
};

TEST_F(FullDisk, IsSaidWhileReceiving) {
    fill("20M");
    if (!IsSkipped()) {
        expect_refused(random_bytes(24 * mib), ErrorCode::no_space, "no space left");
    }
}

TEST_F(FullDisk, IsSaidBeforeConverting) {
    fill("48M");
    if (!IsSkipped()) {
        expect_refused(random_bytes(24 * mib), ErrorCode::no_space, "converting");
    }
}

// At the same time

TEST_F(ImageServiceTest, ImportsOneOfTwoUnderTheSameName) {
    const ImageImport first = call_for("debian-12", slurp(make_disk("a")));
    const ImageImport second = call_for("debian-12", slurp(make_disk("b", {}, "32M")));
    const Operation one = service_->import(first);
    const Operation two = service_->import(second);
    EXPECT_EQ(finished(one).state, OperationState::done);
    EXPECT_EQ(finished(two).error.value().code, "exists");
    EXPECT_EQ(kept().size(), 2U);
}

TEST_F(ImageServiceTest, ImportsTheSameContentUnderManyNamesAtOnce) {
    const std::string disk = random_bytes(2 * mib);
    std::vector<ImageImport> calls;
    for (int i = 0; i < 8; ++i) {
        calls.push_back(call_for(fmt::format("image-{}", i), disk));
    }
    std::vector<Operation> begun;
    for (const auto& call : calls) {
        begun.push_back(service_->import(call));
    }
    for (const auto& operation : begun) {
        EXPECT_EQ(finished(operation).state, OperationState::done);
    }
    EXPECT_EQ(kept().size(), 9U) << "eight records and one disk";
}

TEST_F(ImageServiceTest, ImportsAndRemovesTheSameContentAtOnce) {
    const std::string disk = slurp(make_disk("a"));
    std::jthread others([&] {
        for (int i = 0; i < 10; ++i) {
            import("coming-and-going", disk);
            remove(Name::parse("coming-and-going"));
        }
    });
    for (int i = 0; i < 10; ++i) {
        const Image image = import("stays", disk);
        EXPECT_FALSE(service_->show(image.name).broken);
        remove(image.name);
    }
    others.join();
    EXPECT_TRUE(kept().empty());
}

TEST_F(ImageServiceTest, RemovesNothingWhileAVmIsBeingMade) {
    const Image image = import("debian-12", slurp(make_disk("a")));
    HeldImage held = service_->hold(image.name);
    const Operation removal = service_->remove(image.name); // does not wait, the operation does
    std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(fs::exists(service_->disk_path(*image.digest)));
    EXPECT_FALSE(operations_->show(removal.id).finished());
    EXPECT_EQ(service_->usable(image.name).name, image.name) << "nor does a look at it";
    save_vm("web", image);
    held.lock.unlock();
    EXPECT_EQ(finished(removal).error.value().code, "in_use");
    EXPECT_TRUE(fs::exists(service_->disk_path(*image.digest)));
}

// What is removed, and what is kept

TEST_F(ImageServiceTest, NamesTheVmsThatNeedAnImage) {
    const Image image = import("debian-12", slurp(make_disk("a")));
    save_vm("db", image);
    save_vm("web", image);
    try {
        remove(image.name);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::in_use);
        EXPECT_NE(std::string(error.what()).find("db, web"), std::string::npos) << error.what();
    }
    EXPECT_EQ(service_->show(image.name).vms.size(), 2U);
}

TEST_F(ImageServiceTest, ListsBrokenImagesBesideGoodOnesAndRemovesThem) {
    import("good", slurp(make_disk("a")));
    std::ofstream(paths_.images() / "bad.toml") << "format = 1\nnonsense\n";
    const std::vector<Image> images = service_->list();
    ASSERT_EQ(images.size(), 2U);
    EXPECT_TRUE(images[0].broken);
    EXPECT_FALSE(images[1].broken);
    EXPECT_EQ(remove(Name::parse("bad")).name, Name::parse("bad"));
    EXPECT_EQ(service_->list().size(), 1U);
    EXPECT_FALSE(service_->list()[0].broken);
}

TEST_F(ImageServiceTest, SaysWhatImagesThereAreWhenOneIsNotThere) {
    import("debian-12", slurp(make_disk("a")));
    for (const auto& call :
         std::vector<std::function<void()>>{[&] { static_cast<void>(service_->hold(Name::parse("debain"))); },
                                            [&] { static_cast<void>(service_->show(Name::parse("debain"))); },
                                            [&] { remove(Name::parse("debain")); }}) {
        try {
            call();
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::not_found);
            EXPECT_NE(error.hint().find("debian-12"), std::string::npos) << error.hint();
        }
    }
}

TEST_F(ImageServiceTest, SweepsWhatACrashLeft) {
    const Image image = import("debian-12", slurp(make_disk("a")));
    const auto before = kept();
    send("never imported");
    for (const char* name :
         {"uploads/5e5f7a52-0f0a-4f8f-9d2f-3f3b3c3d3e3f.part", "images/.debian-12.toml.x7Ab2c"}) {
        std::ofstream(paths_.data / name) << "left";
    }
    std::ofstream(service_->disk_path(Digest::parse("sha256:" + std::string(64, 'e')))) << "left";
    std::ofstream(service_->kernel_path(Digest::parse("sha256:" + std::string(64, 'e')))) << "left";
    end();
    start();
    EXPECT_EQ(kept(), before);
}

TEST_F(ImageServiceTest, SweepsNoDiskWhileAnyRecordIsUnreadable) {
    const Image image = import("debian-12", slurp(make_disk("a")));
    const fs::path disk = service_->disk_path(*image.digest);
    const std::string record = slurp(paths_.images() / "debian-12.toml");
    std::ofstream(paths_.images() / "debian-12.toml") << record << "typo\n";
    end();
    start();
    EXPECT_TRUE(fs::exists(disk)) << "a broken image record";

    fs::remove(paths_.images() / "debian-12.toml");
    fs::create_directories(paths_.vms() / "web");
    std::ofstream(paths_.vms() / "web/vm.toml") << "typo\n";
    end();
    start();
    EXPECT_TRUE(fs::exists(disk)) << "a broken VM record";

    fs::remove_all(paths_.vms());
    save_vm("web", image);
    end();
    start();
    EXPECT_TRUE(fs::exists(disk)) << "a VM whose image has lost its record";

    fs::remove_all(paths_.vms());
    end();
    start();
    EXPECT_FALSE(fs::exists(disk));
}

} // namespace
} // namespace capsul
