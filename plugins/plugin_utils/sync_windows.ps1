# Has one PC ask its MDM for news now, and prints one line of JSON (scepfix.parsers.windows_sync). It changes nothing else.
# That it was started does not prove that a session with the MDM began (a PC that has just booted starts none), so it is
# a nudge and never a proof. It has not met a real Windows yet.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

$problems = New-Object System.Collections.ArrayList
$started = ''

# The active enrolment; Intune's has the provider MS DM Server.
$enrolments = @()
try {
    $enrolments = @(Get-ChildItem -Path 'HKLM:\SOFTWARE\Microsoft\Enrollments' |
            Where-Object { $_.GetValue('ProviderID') -and $_.GetValue('EnrollmentState') -eq 1 } |
            ForEach-Object { $_.PSChildName } |
            Where-Object { $_ -match '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' })
}
catch { $null = $problems.Add("enrolments: $($_.Exception.Message)") }

foreach ($guid in $enrolments) {
    if ($started) { break }
    try {
        $path = "\Microsoft\Windows\EnterpriseMgmt\$guid\"
        Get-ScheduledTask -TaskName 'PushLaunch' -TaskPath $path | Start-ScheduledTask
        $started = 'PushLaunch'
    }
    catch { $null = $problems.Add("PushLaunch: $($_.Exception.Message)") }
    if ($started) { break }
    # Where there is no such task (several people signed in at once). Its options are documented nowhere.
    try {
        $program = "$env:SystemRoot\System32\deviceenroller.exe"
        $process = Start-Process -FilePath $program -ArgumentList '/o', $guid, '/c' -PassThru -WindowStyle Hidden
        if ($process.WaitForExit(60000) -and $process.ExitCode -eq 0) { $started = 'deviceenroller' }
        else { $null = $problems.Add('deviceenroller did not end well within a minute') }
    }
    catch { $null = $problems.Add("deviceenroller: $($_.Exception.Message)") }
}
if ($enrolments.Count -eq 0) { $null = $problems.Add('the PC is enrolled nowhere, or does not say so') }
$answer = [ordered]@{
    schema = 'scepfix/windows-sync/1'
    started = $started
    problems = @($problems)
    whole = $true
}
[Console]::OutputEncoding = New-Object Text.UTF8Encoding($false)
$answer | ConvertTo-Json -Depth 3 -Compress
